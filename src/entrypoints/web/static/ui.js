// What every part of the page needs: elements, icons, toasts, the screen reader's voice, storage.

const ICONS = {
  back: "m12.5 5-5 5 5 5",
  chat: "M5 4.5h10A2.5 2.5 0 0 1 17.5 7v5a2.5 2.5 0 0 1-2.5 2.5H9L5.5 17.5v-3H5A2.5 2.5 0 0 1 2.5 12V7A2.5 2.5 0 0 1 5 4.5Z",
  check: "m4.5 10.5 3.5 3.5 7.5-8",
  chevron: "m7.5 5 5 5-5 5",
  close: "m5 5 10 10M15 5 5 15",
  copy: "M7.5 7.5V5A1.5 1.5 0 0 1 9 3.5h6A1.5 1.5 0 0 1 16.5 5v6a1.5 1.5 0 0 1-1.5 1.5h-2.5M5 7.5h6A1.5 1.5 0 0 1 12.5 9v6a1.5 1.5 0 0 1-1.5 1.5H5A1.5 1.5 0 0 1 3.5 15V9A1.5 1.5 0 0 1 5 7.5Z",
  down: "M10 4v12m-5-5 5 5 5-5",
  download: "M10 3.5v8.5m-4-4 4 4 4-4M3.5 13.5V15A1.5 1.5 0 0 0 5 16.5h10a1.5 1.5 0 0 0 1.5-1.5v-1.500",
  keyboard: "M4 5.5h12A1.5 1.5 0 0 1 17.5 7v6a1.5 1.5 0 0 1-1.5 1.5H4A1.5 1.5 0 0 1 2.5 13V7A1.5 1.5 0 0 1 4 5.5ZM7 12h6M5.5 8.5h.01M8.5 8.5h.01M11.5 8.5h.01M14.5 8.5h.01",
  moon: "M16.5 11.5A6.5 6.5 0 0 1 8.5 3.5a6.5 6.5 0 1 0 8 8Z",
  pencil: "m12.5 4.5 3 3L7 16l-3.5.500L4 13l8.5-8.5Z",
  plus: "M10 4.5v11M4.5 10h11",
  refresh: "M16 10a6 6 0 1 1-1.800-4.300L16 7.5M16 3.5v4h-4",
  send: "M10 16V4.5M5 9.5l5-5 5 5",
  sidebar: "M4.5 4h11A1.5 1.5 0 0 1 17 5.5v9a1.5 1.5 0 0 1-1.5 1.5h-11A1.5 1.5 0 0 1 3 14.5v-9A1.5 1.5 0 0 1 4.5 4ZM8 4v12",
  sun: "M10 6.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7ZM10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18M4.300 4.300l1.100 1.100M14.600 14.600l1.100 1.100M4.300 15.7l1.100-1.100M14.600 5.400l1.100-1.100",
  thumbDown: "M6.5 11V3.5M6.5 10.5l3.100 5.900c1.100 0 1.900-.8 1.900-1.900V12h3.900a1.600 1.600 0 0 0 1.600-1.900l-1-5a2 2 0 0 0-2-1.600H3.5V11h3",
  thumbUp: "M6.5 9v7.5M6.5 9.5l3.100-5.900c1.100 0 1.900.8 1.900 1.900V8h3.900a1.600 1.600 0 0 1 1.600 1.900l-1 5a2 2 0 0 1-2 1.600H3.5V9h3",
  trash: "M4 6h12M8 6V4.5A1 1 0 0 1 9 3.5h2a1 1 0 0 1 1 1V6M5.5 6l.7 9a1.5 1.5 0 0 0 1.5 1.5h4.600a1.5 1.5 0 0 0 1.5-1.5l.7-9",
};
const SVG = "http://www.w3.org/2000/svg";
const TOAST_MS = 6_000;

export const $ = (id) => document.getElementById(id);

/** An element. `on…` properties are listeners, `testid` the hook of a browser test, the rest attributes. */
export function h(tag, properties = {}, children = []) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "testid") element.dataset.testid = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...[children].flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export function icon(name) {
  if (name === "stop") {
    const square = svg("rect", { x: 6, y: 6, width: 8, height: 8, rx: 1.5, class: "solid" });
    return svg("svg", { viewBox: "0 0 20 20", class: "icon", "aria-hidden": "true" }, square);
  }
  return svg("svg", { viewBox: "0 0 20 20", class: "icon", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}

export function iconButton(name, label, onclick, properties = {}) {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...properties }, icon(name));
}

/** A button that copies what `text()` gives, and says so for a moment. */
export function copyButton(label, text) {
  const button = iconButton("copy", label, async () => {
    const copied = await copy(text());
    if (!copied) return toast("The browser does not let this page copy.", { kind: "error" });
    button.replaceChildren(icon("check"));
    announce("Copied");
    setTimeout(() => button.replaceChildren(icon("copy")), 1_500);
  });
  button.classList.add("small");
  return button;
}

/**
 * A note that goes away by itself, but not while it is pointed at or focused.
 * `action` is `{label, testid, run}`; running it closes the note.
 */
export function toast(text, { kind = "info", action = null, duration = TOAST_MS } = {}) {
  let timer;
  const close = () => {
    clearTimeout(timer);
    element.remove();
  };
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(close, duration);
  };
  const element = h(
    "div",
    {
      class: `toast ${kind}`,
      testid: "toast",
      role: kind === "error" ? "alert" : "status",
      onpointerenter: () => clearTimeout(timer),
      onpointerleave: wait,
      onfocusin: () => clearTimeout(timer),
      onfocusout: wait,
      onkeydown: (event) => event.key === "Escape" && (event.stopPropagation(), close()),
    },
    [
      h("span", { class: "toast-text" }, text),
      action &&
        h("button", { type: "button", class: "toast-action", testid: action.testid, onclick: () => (close(), action.run()) }, action.label),
      iconButton("close", "Dismiss", close, { class: "icon-button small" }),
    ],
  );
  const shelf = $("toasts");
  for (const old of [...shelf.children]) {
    if (old.querySelector(".toast-text").textContent === text && !action) old.remove();
  }
  while (shelf.children.length >= 4) shelf.firstChild.remove();
  shelf.append(element);
  wait();
  return close;
}

/** Shows any failure: an ApiError in its own words, a defect in ours. */
export function showError(error) {
  if (!error.readable) console.error(error);
  toast(error.readable ?? "Something went wrong in this page. Reloading it may help.", { kind: "error", duration: 9_000 });
}

export function announce(text) {
  const voice = $("announcer");
  // The same text twice is only spoken twice if it was away in between.
  voice.textContent = "";
  setTimeout(() => (voice.textContent = text), 50);
}

/** A small memory that may be switched off by the browser. */
export const memory = {
  get(key, store = localStorageOrNull()) {
    return store?.getItem(`parley.${key}`) ?? null;
  },
  set(key, value, store = localStorageOrNull()) {
    try {
      if (value === null || value === "") store?.removeItem(`parley.${key}`);
      else store?.setItem(`parley.${key}`, value);
    } catch {
      // Full: forgetting is the right thing to do.
    }
  },
};

export const isApple = /Mac|iPhone|iPad/.test(navigator.platform);

export function shortTime(iso) {
  const at = new Date(iso);
  const today = new Date().toDateString() === at.toDateString();
  return at.toLocaleString([], today ? { hour: "2-digit", minute: "2-digit" } : { dateStyle: "medium", timeStyle: "short" });
}

export function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Plain HTTP on a LAN has no clipboard interface.
    const field = h("textarea", { class: "visually-hidden", readonly: true });
    field.value = text;
    const focused = document.activeElement;
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    focused?.focus();
    return copied;
  }
}

function localStorageOrNull() {
  try {
    return localStorage;
  } catch {
    return null;
  }
}

function svg(tag, attributes, child) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (child) element.append(child);
  return element;
}
