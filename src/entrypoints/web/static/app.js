// The page put together: who is shown where, the address, the keyboard.

import * as api from "./api.js";
import { Composer } from "./composer.js";
import { problemPage, roomPage, startPage } from "./home.js";
import { Library } from "./library.js";
import { Search } from "./search.js";
import { Sidebar } from "./sidebar.js";
import { Thread } from "./thread.js";
import { $, announce, h, icon, iconButton, isApple, memory, showError, toast } from "./ui.js";

const WATCH_MS = 4_000;
const LOOK_AGAIN_MS = 5_000;
const narrow = matchMedia("(max-width: 760px)");
const touch = matchMedia("(hover: none)");

const library = new Library();
const composer = new Composer($("composer"), {
  send: ask,
  stop: () => thread.stop(),
  agent: (agent) => thread.conversationId && library.setAgent(thread.conversationId, agent).catch(showError),
});
const thread = new Thread(
  { scroller: $("scroller"), content: $("content"), jump: $("jump-latest"), notice: $("notice") },
  library,
  composer,
  { created, missing, empty: () => !thread.conversationId && showHome() },
);
const sidebar = new Sidebar($("tree"), library, {
  go: navigate,
  leave: () => navigate("#/"),
  // Only if nothing else was opened meanwhile.
  returned: (hash) => at().kind === "home" && navigate(hash),
});
const search = new Search({ field: $("search-input"), results: $("search-results"), tree: $("tree"), onOpen: (query) => (searched = query), onLeave: () => composer.focus() });

let place = null;
let searched = null;
let roomShown = null;
let lastLook = Date.now();

dress();
listen();
start();

async function start() {
  try {
    await api.ensureVisitor();
    await library.load();
  } catch (error) {
    thread.showInstead(problemPage(error.readable ?? String(error), "Try again", start));
    return;
  }
  api.agents.list().then(({ items }) => {
    composer.setAgents(items);
    composer.setAgent(library.conversations.get(thread.conversationId)?.agent);
  }, showError);
  sidebar.loadExpanded().catch(showError);
  await go();
  composer.sendEarly();
}

// Addresses: #/ · #/r/<room> · #/c/<conversation> · #/c/<conversation>/<position of a message> -----

function at() {
  const [, kind, id, position] = location.hash.split("/");
  if (kind === "c" && id) return { kind: "conversation", id, position: position ? Number(position) : null, key: `c/${id}` };
  if (kind === "r" && id) return { kind: "room", id, key: `r/${id}` };
  return { kind: "home", id: null, key: "" };
}

/** Opens a place at once; waiting for the event of a changed hash would let a quick hand write into the old one. */
function navigate(hash) {
  if (hash !== location.hash) history.pushState(null, "", hash);
  go();
}

function follow(event) {
  const link = event.target.closest?.('a[href^="#/"]');
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  navigate(link.getAttribute("href"));
}

async function go() {
  const next = at();
  const stay = place?.key === next.key;
  const query = searched;
  searched = null;
  place = next;
  setDrawer(false);
  if (next.kind === "conversation" && stay && thread.conversationId === next.id) {
    if (next.position !== null) thread.goTo(next.position, query);
    return;
  }
  composer.open(next.key);
  if (next.kind === "conversation") {
    const opening = thread.open(next.id, { position: next.position, query });
    drawFrame();
    if (next.position === null) focusComposer();
    await opening;
  } else {
    await showHome();
    focusComposer();
  }
  drawFrame();
}

async function showHome() {
  roomShown = null;
  if (place.kind !== "room") return thread.showInstead(startPage(askSuggested));
  const { id } = place;
  thread.showInstead(h("div"));
  const known = library.rooms.get(id);
  if (known && (!known.conversation_count || library.conversationsOf(id).length)) drawRoom();
  try {
    if (!known) library.putRoom(await api.rooms.get(id));
    await library.loadRoom(id);
  } catch (error) {
    if (place.id !== id || thread.isLive) return;
    if (isGone(error) || !library.rooms.has(id)) return missing(error);
    showError(error);
  }
  drawRoom();
}

/** A room's page follows what is renamed, restored or deleted beside it. */
function drawRoom() {
  if (place?.kind !== "room" || thread.conversationId || thread.isLive) return;
  const room = library.rooms.get(place.id);
  if (!room) return;
  const conversations = library.conversationsOf(room.id);
  const signature = JSON.stringify([room.id, room.name, conversations.map((one) => [one.id, one.title, one.message_count])]);
  if (signature === roomShown) return;
  roomShown = signature;
  thread.showInstead(roomPage(room, conversations, askSuggested));
}

function created(id) {
  place = { kind: "conversation", id, position: null, key: `c/${id}` };
  history.pushState(null, "", `#/c/${id}`);
  composer.moveTo(place.key);
  drawFrame();
}

function missing(error) {
  const page = isGone(error)
    ? problemPage(error.readable, "Start a new conversation", () => navigate("#/"))
    : problemPage(error.readable ?? String(error), "Try again", () => ((place = null), go()));
  thread.showInstead(page);
}

// Not there, not mine, or no address at all.
function isGone(error) {
  return [400, 403, 404, 422].includes(error.status);
}

function ask(text, agent) {
  thread.send(text, { agent, roomId: place.kind === "room" ? place.id : null });
}

function askSuggested(question) {
  ask(question, composer.agent);
  focusComposer();
}

function newConversation() {
  setDrawer(false);
  search.clear();
  if (at().kind === "home" && !thread.isLive) focusComposer(true);
  else navigate("#/");
}

/** What surrounds the messages: the heading, the title of the tab, the mark in the sidebar. */
function drawFrame() {
  if (!place) return;
  const conversation = place.kind === "conversation" ? library.conversations.get(place.id) : null;
  const room = library.rooms.get(place.kind === "room" ? place.id : conversation?.room_id);
  const title = conversation?.title || (place.kind === "room" && room?.name) || "New conversation";
  $("title").textContent = title;
  $("subtitle").textContent = conversation && room ? room.name : "";
  $("subtitle").hidden = !$("subtitle").textContent;
  document.title = place.kind === "home" ? "Parley" : `${title} · Parley`;
  offerExport(conversation ? `conversations/${conversation.id}` : place.kind === "room" && room ? `rooms/${room.id}` : null);
  sidebar.show({
    conversationId: place.kind === "conversation" ? place.id : null,
    roomId: place.kind === "room" ? place.id : null,
  });
}

/** What is open, as a file; nothing for null. */
function offerExport(path) {
  $("export").hidden = !path;
  $("export").open = $("export").open && Boolean(path);
  for (const link of $("export").querySelectorAll("a")) {
    if (path) link.href = `/api/v1/${path}/export?format=${link.dataset.format}`;
  }
}

function closeExport() {
  $("export").open = false;
}

function focusComposer(evenOnTouch = false) {
  // On a phone the focus would raise the keyboard over what was just opened.
  if (evenOnTouch || !touch.matches) composer.focus();
}

// The frame's own controls ---------------------------------------------------------------------

function dress() {
  $("new-conversation").append(icon("pencil"), "New conversation");
  $("topbar-new").append(icon("pencil"));
  $("export-toggle").append(icon("download"));
  $("drawer-close").append(icon("close"));
  $("sidebar-toggle").append(icon("sidebar"));
  $("shortcuts-button").append(icon("keyboard"), "Shortcuts");
  $("jump-latest").append(icon("down"), "Jump to latest");
  $("search-hint").textContent = isApple ? "⌘ K" : "Ctrl K";
  drawTheme();
  document.documentElement.classList.toggle("folded", memory.get("sidebar") === "folded");
  setDrawer(false);
}

function drawTheme() {
  const dark = document.documentElement.dataset.theme === "dark";
  const label = dark ? "Switch to the light theme" : "Switch to the dark theme";
  $("theme-toggle").replaceChildren(icon(dark ? "sun" : "moon"));
  $("theme-toggle").setAttribute("aria-label", label);
  $("theme-toggle").title = label;
}

function toggleTheme() {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  memory.set("theme", theme);
  document.documentElement.dataset.theme = theme;
  document.querySelector('meta[name="theme-color"]').content = theme === "dark" ? "#17191b" : "#ffffff";
  drawTheme();
}

function drawerOpen() {
  return document.documentElement.classList.contains("drawer");
}

function setDrawer(open) {
  const wasOpen = drawerOpen();
  const shown = narrow.matches ? open : !document.documentElement.classList.contains("folded");
  document.documentElement.classList.toggle("drawer", open && narrow.matches);
  $("page").inert = open && narrow.matches;
  $("sidebar").inert = !shown;
  $("sidebar-toggle").setAttribute("aria-expanded", String(shown));
  $("sidebar-toggle").setAttribute("aria-label", shown ? "Hide the sidebar" : "Show the sidebar");
  $("sidebar-toggle").title = $("sidebar-toggle").getAttribute("aria-label");
  if (open && narrow.matches) $("drawer-close").focus();
  else if (wasOpen) $("sidebar-toggle").focus();
}

function toggleSidebar() {
  if (narrow.matches) return setDrawer(!drawerOpen());
  const folded = document.documentElement.classList.toggle("folded");
  memory.set("sidebar", folded ? "folded" : null);
  setDrawer(false);
}

function showSearch() {
  if (narrow.matches) setDrawer(true);
  else if (document.documentElement.classList.contains("folded")) toggleSidebar();
  search.focus();
}

function showShortcuts() {
  const command = isApple ? "⌘" : "Ctrl";
  const rows = [
    [["Enter"], "Send"],
    [["Shift", "Enter"], "New line"],
    [["Esc"], "Stop the answer, close what is open"],
    [[command, "K"], "Search your messages"],
    [[command, "Shift", "O"], "New conversation"],
    [["↑", "↓"], "From row to row in the sidebar"],
    [["F2"], "Rename the row in focus"],
    [["Delete"], "Delete the row in focus"],
    [["?"], "These shortcuts"],
  ];
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": "shortcuts-title", onclose: () => dialog.remove() }, [
    h("div", { class: "dialog-head" }, [h("h2", { id: "shortcuts-title" }, "Shortcuts"), iconButton("close", "Close", () => dialog.close())]),
    h(
      "dl",
      {},
      rows.map(([keys, what]) => h("div", {}, [h("dt", {}, what), h("dd", {}, keys.map((key) => h("kbd", {}, key)))])),
    ),
  ]);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}

function listen() {
  addEventListener("popstate", go);
  document.addEventListener("click", follow);
  library.addEventListener("change", () => (drawFrame(), drawRoom()));
  $("new-conversation").addEventListener("click", newConversation);
  $("topbar-new").addEventListener("click", newConversation);
  document.addEventListener("click", (event) => $("export-toggle").contains(event.target) || closeExport());
  $("export").addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !$("export").open) return;
    event.stopPropagation();
    closeExport();
    $("export-toggle").focus();
  });
  $("theme-toggle").addEventListener("click", toggleTheme);
  $("sidebar-toggle").addEventListener("click", toggleSidebar);
  $("drawer-close").addEventListener("click", () => setDrawer(false));
  $("backdrop").addEventListener("click", () => setDrawer(false));
  $("shortcuts-button").addEventListener("click", showShortcuts);
  $("skip-link").addEventListener("click", (event) => (event.preventDefault(), composer.focus()));
  narrow.addEventListener("change", () => setDrawer(false));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTimeout(drawTheme));
  addEventListener("keydown", keydown);
  document.addEventListener("visibilitychange", lookAgain);
  api.visitor.addEventListener("replaced", () => {
    toast("Your visit had ended. You go on as a new visitor.");
    if (library.loaded) library.load().catch(showError);
  });
  setInterval(watchOthers, WATCH_MS);
  addEventListener("unhandledrejection", (event) => showError(event.reason));
}

function keydown(event) {
  const command = event.ctrlKey || event.metaKey;
  const key = event.key.toLowerCase();
  if (document.querySelector("dialog[open]")) return;
  if (command && !event.shiftKey && !event.altKey && key === "k") {
    event.preventDefault();
    showSearch();
  } else if (command && event.shiftKey && key === "o") {
    event.preventDefault();
    newConversation();
    announce("New conversation");
  } else if (event.key === "Escape" && !event.isComposing) {
    if (drawerOpen()) setDrawer(false);
    else thread.stop();
  } else if (event.key === "?" && !command && !event.target.closest?.("input, textarea, select")) {
    event.preventDefault();
    showShortcuts();
  }
}

/** Coming back to the tab: other tabs and other devices may have gone on. */
async function lookAgain() {
  if (document.hidden || !library.loaded || Date.now() - lastLook < LOOK_AGAIN_MS) return;
  lastLook = Date.now();
  try {
    await library.load();
    await thread.catchUp();
  } catch {
    // Nobody asked for this; whatever is asked for next will say what is wrong.
  }
}

/** Answers that go on in conversations one has left: their dots in the sidebar must go out. */
async function watchOthers() {
  if (document.hidden) return;
  const live = [...library.conversations.values()].filter((one) => one.live_reply_id && one.id !== thread.conversationId);
  for (const { id } of live.slice(0, 3)) {
    await library.refresh(id).catch((error) => error.status === 404 && library.drop(id));
  }
}
