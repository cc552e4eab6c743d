// Where one writes: grows with the text, keeps a draft for each conversation, turns into Stop.

import { h, icon, memory, toast } from "./ui.js";

const LIMIT = 5_000;
const COUNT_FROM = 4_500;

export class Composer {
  #on;
  #field;
  #send;
  #stop;
  #count;
  #agents;
  #live = false;
  #draftKey = null;
  #early = false;

  /** `on.send(text, agent)`, `on.stop()`, and `on.agent(name)` when another one was chosen. */
  constructor(form, on) {
    this.#on = on;
    this.#field = h("textarea", {
      id: "composer-input",
      testid: "composer",
      rows: 1,
      "aria-label": "Message",
      "aria-describedby": "composer-hint",
      placeholder: "Ask anything",
      enterkeyhint: "send",
      autocomplete: "off",
    });
    this.#send = h("button", { type: "submit", class: "round", testid: "send", "aria-label": "Send", title: "Send (Enter)" }, icon("send"));
    this.#stop = h(
      "button",
      { type: "button", class: "round stop", testid: "stop", "aria-label": "Stop", title: "Stop (Esc)", hidden: true, onclick: () => on.stop() },
      icon("stop"),
    );
    this.#count = h("span", { class: "count", role: "status", hidden: true });
    this.#agents = h("select", {
      class: "agents",
      "aria-label": "Who answers",
      title: "Who answers",
      testid: "agent",
      hidden: true,
      onchange: () => on.agent(this.agent),
    });
    form.append(
      this.#field,
      h("div", { class: "composer-foot" }, [
        this.#agents,
        h("span", { class: "hint", id: "composer-hint" }, "Enter sends, Shift+Enter starts a new line"),
        this.#count,
        this.#send,
        this.#stop,
      ]),
    );
    form.addEventListener("submit", (event) => (event.preventDefault(), this.#submit()));
    form.addEventListener("click", (event) => event.target === form && this.focus());
    this.#field.addEventListener("input", () => ((this.#early = false), this.#changed()));
    this.#field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.#submit();
    });
    this.#changed();
  }

  focus() {
    this.#field.focus({ preventScroll: true });
  }

  /** Who is to answer, or null where there is no choice. */
  get agent() {
    return this.#agents.value || null;
  }

  /** Each place (a conversation, a room, the start page) has its own unsent text. */
  open(place) {
    // What was typed before this script ran belongs to the first place.
    const typed = this.#draftKey === null ? this.#field.value : "";
    this.#draftKey = `draft.${place}`;
    this.#write(typed || (memory.get(this.#draftKey, sessionStorage) ?? ""));
    this.#agents.selectedIndex = 0;
  }

  /** Sends what a quick hand has sent before there was a place for it. */
  sendEarly() {
    if (this.#early) this.#submit();
    this.#early = false;
  }

  /** The text has gone into a conversation that was just made for it. */
  moveTo(place) {
    memory.set(this.#draftKey, null, sessionStorage);
    this.#draftKey = `draft.${place}`;
    this.#changed();
  }

  /** A text that could not be sent waits where it was written. */
  keep(place, text) {
    memory.set(`draft.${place}`, text, sessionStorage);
  }

  /** What could not be sent comes back, before whatever was written since. */
  giveBack(text) {
    this.#write([text, this.#field.value].filter((part) => part.trim()).join("\n"));
    this.focus();
  }

  setLive(live) {
    this.#stop.disabled = false;
    if (live === this.#live) return;
    this.#live = live;
    const hadFocus = [this.#send, this.#stop].includes(document.activeElement);
    this.#send.hidden = live;
    this.#stop.hidden = !live;
    if (hadFocus) (live ? this.#stop : this.#field).focus();
  }

  setStopping() {
    this.#stop.disabled = true;
  }

  setAgents(agents) {
    this.#agents.replaceChildren(
      ...agents.map(({ name, description }) => h("option", { value: name, title: description }, name[0].toUpperCase() + name.slice(1))),
    );
    this.#agents.hidden = agents.length < 2;
  }

  setAgent(name) {
    if ([...this.#agents.options].some((option) => option.value === name)) this.#agents.value = name;
  }

  #submit() {
    const text = this.#field.value.trim();
    if (!text) return;
    if (this.#draftKey === null) return (this.#early = true);
    if (this.#live) return toast("An answer is under way. Stop it first (Esc), or wait for its end.");
    if (isTooLong(text)) return;
    this.#write("");
    this.#on.send(text, this.agent);
  }

  #write(text) {
    this.#field.value = text;
    this.#changed();
  }

  #changed() {
    const text = this.#field.value;
    this.#field.style.height = "auto";
    this.#field.style.height = `${this.#field.scrollHeight}px`;
    const characters = text.length < COUNT_FROM ? 0 : length(text.trim());
    this.#count.hidden = characters < COUNT_FROM;
    this.#count.textContent = `${characters.toLocaleString()} / ${LIMIT.toLocaleString()}`;
    this.#count.classList.toggle("over", characters > LIMIT);
    this.#send.disabled = !text.trim() || characters > LIMIT || this.#draftKey === null;
    if (this.#draftKey) memory.set(this.#draftKey, text, sessionStorage);
  }
}

/** Says so if a message is longer than the server takes. */
export function isTooLong(text) {
  const over = length(text) - LIMIT;
  if (over <= 0) return false;
  toast(`A message has at most ${LIMIT.toLocaleString()} characters; this one has ${over.toLocaleString()} too many.`, { kind: "error" });
  return true;
}

// Characters as the server counts them: code points, not UTF-16 units.
function length(text) {
  return [...text].length;
}
