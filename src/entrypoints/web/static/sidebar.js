// The tree of rooms and conversations: opening, naming, renaming, deleting with undo.
// One row is a tab stop; the arrow keys go from row to row.

import { announce, h, icon, iconButton, memory, plural, showError, toast } from "./ui.js";

const UNDO_MS = 10_000;
const UNTITLED = "New conversation";

export class Sidebar {
  #tree;
  #library;
  #on;
  #current = { conversationId: null, roomId: null };
  #expanded = new Set(JSON.parse(memory.get("expanded") ?? "[]"));
  #editing = false;
  #pressed = false;
  #shown = null;
  #drawn = null;
  #stop = null;

  /** `on.go(hash)` opens a place; `on.leave()`: what is open was deleted; `on.returned(hash)`: what was open there is back. */
  constructor(tree, library, on) {
    this.#tree = tree;
    this.#library = library;
    this.#on = on;
    library.addEventListener("change", () => this.draw());
    tree.addEventListener("keydown", (event) => this.#keydown(event));
    tree.addEventListener("focusin", (event) => this.#roveTo(event.target.closest(".row")));
    // A row replaced between press and release would swallow the click.
    tree.addEventListener("pointerdown", () => (this.#pressed = true));
    addEventListener("pointerup", () => setTimeout(() => ((this.#pressed = false), this.draw())));
    addEventListener("pointercancel", () => ((this.#pressed = false), this.draw()));
  }

  show(current) {
    const roomId = current.roomId ?? this.#library.conversations.get(current.conversationId)?.room_id ?? null;
    const key = `${current.conversationId} ${roomId}`;
    // Called at every change; only a change of place opens a room and moves the list.
    if (key === this.#shown) return;
    this.#shown = key;
    this.#current = current;
    if (roomId) this.#expand(roomId, true);
    this.draw();
    this.#tree.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }

  draw() {
    if (this.#editing || this.#pressed || !this.#library.loaded) return;
    const picture = this.#picture();
    const signature = JSON.stringify(picture);
    if (signature === this.#drawn) return;
    this.#drawn = signature;
    const focused = document.activeElement?.closest?.("#tree .row");
    const focus = focused && { key: focused.dataset.id, control: document.activeElement.className };
    this.#tree.replaceChildren(...this.#sections(picture));
    if (focus) {
      const row = this.#row(focus.key);
      (row?.querySelector(`[class="${focus.control}"]`) ?? row?.querySelector("a") ?? this.#links()[0])?.focus();
    }
    this.#roveTo(this.#row(this.#stop) ?? this.#tree.querySelector("[aria-current]")?.closest(".row") ?? this.#tree.querySelector(".row"));
  }

  #picture() {
    const line = (one) => ({
      id: one.id,
      title: one.title || UNTITLED,
      roomId: one.room_id ?? null,
      live: Boolean(one.live_reply_id),
      current: one.id === this.#current.conversationId,
    });
    return {
      rooms: this.#library.roomsInOrder().map((room) => ({
        id: room.id,
        name: room.name,
        count: room.conversation_count,
        current: room.id === this.#current.roomId,
        open: this.#expanded.has(room.id),
        lines: this.#expanded.has(room.id) ? this.#library.conversationsOf(room.id).map(line) : [],
        more: this.#library.hasMore(room.id),
      })),
      loose: this.#library.conversationsOf(null).map(line),
      more: this.#library.hasMore(),
    };
  }

  #sections({ rooms, loose, more }) {
    const newRoom = iconButton("plus", "New room", () => this.#newRoom(), { testid: "new-room" });
    return [
      h("section", { class: "group", "aria-labelledby": "rooms-title" }, [
        h("div", { class: "group-head" }, [h("h2", { id: "rooms-title" }, "Rooms"), newRoom]),
        h("ul", { class: "rows", id: "rooms" }, rooms.map((room) => this.#roomItem(room))),
        rooms.length ? null : h("p", { class: "group-empty" }, "A room keeps conversations together."),
      ]),
      h("section", { class: "group", "aria-labelledby": "loose-title" }, [
        h("div", { class: "group-head" }, h("h2", { id: "loose-title" }, "Conversations")),
        h("ul", { class: "rows" }, loose.map((line) => this.#conversationItem(line))),
        loose.length ? null : h("p", { class: "group-empty" }, "Nothing here yet. Ask something."),
        more ? this.#moreButton(null) : null,
      ]),
    ];
  }

  #roomItem(room) {
    const listId = `room-${room.id}`;
    const row = h("div", { class: "row room", testid: "room", "data-id": room.id }, [
      h(
        "button",
        {
          type: "button",
          class: "twist",
          "aria-expanded": String(room.open),
          "aria-controls": listId,
          "aria-label": `Conversations of ${room.name}`,
          onclick: () => this.#toggle(room.id),
        },
        icon("chevron"),
      ),
      h(
        "a",
        {
          class: "row-link",
          href: `#/r/${room.id}`,
          title: room.name,
          "aria-current": room.current ? "page" : null,
          onclick: () => this.#expand(room.id, true),
        },
        h("span", { class: "row-title" }, room.name),
      ),
      h("span", { class: "row-count", "aria-label": plural(room.count, "conversation") }, String(room.count)),
      h("span", { class: "row-actions" }, [
        iconButton("plus", `New conversation in ${room.name}`, () => this.#on.go(`#/r/${room.id}`), {
          class: "icon-button small act-new",
          testid: "room-new-conversation",
        }),
        iconButton("pencil", `Rename ${room.name}`, () => this.#rename(room.id), {
          class: "icon-button small act-rename",
          testid: "rename-room",
        }),
        iconButton("trash", `Delete ${room.name}`, () => this.#deleteRoom(room), {
          class: "icon-button small act-delete",
          testid: "delete-room",
        }),
      ]),
    ]);
    const children = h("ul", { class: "rows nested", id: listId, hidden: !room.open }, [
      room.lines.map((line) => this.#conversationItem(line)),
      room.open && !room.lines.length ? h("li", { class: "group-empty" }, "No conversations yet.") : null,
      room.open && room.more ? h("li", {}, this.#moreButton(room.id)) : null,
    ].flat());
    return h("li", {}, [row, children]);
  }

  #conversationItem(line) {
    return h("li", {}, [
      h("div", { class: "row", testid: "conversation", "data-id": line.id, "data-room-id": line.roomId }, [
        h(
          "a",
          { class: "row-link", href: `#/c/${line.id}`, title: line.title, "aria-current": line.current ? "page" : null },
          [
            h("span", { class: "row-title" }, line.title),
            line.live ? h("span", { class: "live-dot", role: "img", "aria-label": "answering" }) : null,
          ],
        ),
        h("span", { class: "row-actions" }, [
          iconButton("pencil", `Rename ${line.title}`, () => this.#rename(line.id), {
            class: "icon-button small act-rename",
            testid: "rename-conversation",
          }),
          iconButton("trash", `Delete ${line.title}`, () => this.#deleteConversation(line), {
            class: "icon-button small act-delete",
            testid: "delete-conversation",
          }),
        ]),
      ]),
    ]);
  }

  #moreButton(roomId) {
    return h("button", { type: "button", class: "more", onclick: () => this.#library.loadMore(roomId).catch(showError) }, "Show more");
  }

  #toggle(roomId) {
    this.#expand(roomId, !this.#expanded.has(roomId));
    this.draw();
  }

  #expand(roomId, open) {
    if (this.#expanded.has(roomId) === open) return;
    if (open) this.#expanded.add(roomId);
    else this.#expanded.delete(roomId);
    memory.set("expanded", JSON.stringify([...this.#expanded]));
    if (open) this.#library.loadRoom(roomId).catch(showError);
  }

  /** Reads the conversations of the rooms that were open at the last visit. */
  async loadExpanded() {
    for (const id of this.#expanded) {
      if (this.#library.rooms.has(id)) await this.#library.loadRoom(id);
      else this.#expanded.delete(id);
    }
  }

  #newRoom() {
    if (this.#editing) return;
    const item = h("li");
    this.#tree.querySelector("#rooms").prepend(item);
    const row = h("div", { class: "row room" });
    item.append(row);
    this.#edit(row, {
      label: "Name of the new room",
      value: "",
      testid: "room-name",
      limit: 100,
      save: async (name) => {
        const room = await this.#library.createRoom(name);
        this.#expand(room.id, true);
        this.#on.go(`#/r/${room.id}`);
      },
    });
  }

  #rename(id) {
    if (this.#editing) return;
    const room = this.#library.rooms.get(id);
    const row = this.#row(id);
    this.#edit(row, {
      label: room ? "Name of the room" : "Title of the conversation",
      value: room ? room.name : (this.#library.conversations.get(id)?.title ?? ""),
      testid: "rename-input",
      limit: room ? 100 : 200,
      save: (name) => (room ? this.#library.renameRoom(id, name) : this.#library.renameConversation(id, name)),
    });
  }

  /** A row becomes a field: Enter and leaving it save, Escape does not. */
  #edit(row, { label, value, testid, limit, save }) {
    this.#editing = true;
    const field = h("input", { class: "row-field", type: "text", "aria-label": label, placeholder: label, maxlength: limit, testid });
    field.value = value;
    row.replaceChildren(field);
    row.classList.add("editing");
    field.focus();
    field.select();
    let done = false;
    const finish = async (keep, refocus) => {
      if (done) return;
      const name = field.value.trim();
      done = true;
      if (keep && name && name !== value) {
        field.disabled = true;
        try {
          await save(name);
        } catch (error) {
          showError(error);
          // The text is not lost: the field stays, ready for another try.
          done = false;
          field.disabled = false;
          if (refocus) return field.focus();
          done = true;
        }
      }
      this.#editing = false;
      this.#drawn = null;
      this.draw();
      if (refocus) this.#row(row.dataset.id)?.querySelector("a")?.focus();
    };
    field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.isComposing) return;
      if (event.key === "Enter") finish(true, true);
      if (event.key === "Escape") finish(false, true);
    });
    field.addEventListener("blur", () => field.disabled || finish(true, false));
  }

  #deleteRoom(room) {
    return this.#delete(room.id, `Room “${room.name}” deleted`, {
      remove: () => this.#library.deleteRoom(room.id),
      restore: () => this.#library.restoreRoom(room.id),
    });
  }

  #deleteConversation(line) {
    return this.#delete(line.id, `“${line.title}” deleted`, {
      remove: () => this.#library.deleteConversation(line.id),
      restore: () => this.#library.restoreConversation(line.id),
    });
  }

  async #delete(id, text, { remove, restore }) {
    const { conversationId, roomId } = this.#current;
    const openRoom = roomId ?? this.#library.conversations.get(conversationId)?.room_id;
    const wasOpen = id === conversationId || id === openRoom ? location.hash : null;
    const links = this.#links();
    const index = links.indexOf(this.#row(id)?.querySelector("a"));
    const hadFocus = this.#row(id)?.contains(document.activeElement);
    try {
      await remove();
    } catch (error) {
      return showError(error);
    }
    if (hadFocus) (this.#links()[index] ?? this.#links().at(-1))?.focus();
    if (wasOpen) this.#on.leave();
    const undo = async () => {
      try {
        await restore();
        announce("Restored");
        if (wasOpen) this.#on.returned(wasOpen);
      } catch (error) {
        showError(error);
      }
    };
    toast(text, { action: { label: "Undo", testid: "undo", run: undo }, duration: UNDO_MS });
  }

  #keydown(event) {
    const row = event.target.closest(".row");
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const links = this.#links();
    const index = links.indexOf(row.querySelector("a"));
    const press = (selector) => row.querySelector(selector)?.click();
    const twist = row.querySelector(".twist");
    const actions = {
      ArrowDown: () => links[index + 1]?.focus(),
      ArrowUp: () => links[index - 1]?.focus(),
      Home: () => links[0].focus(),
      End: () => links.at(-1).focus(),
      ArrowRight: () => twist?.getAttribute("aria-expanded") === "false" && twist.click(),
      ArrowLeft: () => {
        if (twist) return twist.getAttribute("aria-expanded") === "true" && twist.click();
        row.closest(".nested")?.previousElementSibling?.querySelector("a")?.focus();
      },
      F2: () => press(".act-rename"),
      Delete: () => press(".act-delete"),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  #roveTo(row) {
    if (!row) return;
    this.#stop = row.dataset.id;
    for (const control of this.#tree.querySelectorAll(".row a, .row button")) {
      control.tabIndex = row.contains(control) ? 0 : -1;
    }
  }

  #row(id) {
    return id ? this.#tree.querySelector(`.row[data-id="${CSS.escape(id)}"]`) : null;
  }

  #links() {
    return [...this.#tree.querySelectorAll(".row-link")].filter((link) => !link.closest("[hidden]"));
  }
}
