// Full-text search over one's own messages. While a query is there, its results take the tree's place.

import { messages } from "./api.js";
import { renderSnippet } from "./markdown.js";
import { h, plural, shortTime } from "./ui.js";

const PAUSE_MS = 180;
const PAGE = 20;

export class Search {
  #field;
  #results;
  #tree;
  #onOpen;
  #onLeave;
  #timer = null;
  #asked = 0;

  /** `onOpen(query)` is called when a result is followed (the link does the rest), `onLeave()` on Escape. */
  constructor({ field, results, tree, onOpen, onLeave }) {
    this.#field = field;
    this.#results = results;
    this.#tree = tree;
    this.#onOpen = onOpen;
    this.#onLeave = onLeave;
    field.addEventListener("input", () => this.#later());
    field.addEventListener("keydown", (event) => this.#keydown(event));
    results.addEventListener("keydown", (event) => this.#keydown(event));
  }

  focus() {
    this.#field.focus();
    this.#field.select();
  }

  clear() {
    this.#field.value = "";
    this.#show(null);
  }

  #later() {
    clearTimeout(this.#timer);
    if (!this.#field.value.trim()) return this.#show(null);
    this.#timer = setTimeout(() => this.#run(0), PAUSE_MS);
  }

  async #run(offset) {
    const query = this.#field.value.trim();
    const turn = ++this.#asked;
    try {
      const page = await messages.search(query, { limit: PAGE, offset });
      if (turn === this.#asked) this.#draw(query, page, offset);
    } catch (error) {
      if (turn === this.#asked) this.#show([h("p", { class: "group-empty", role: "alert" }, error.readable ?? String(error))]);
    }
  }

  #draw(query, page, offset) {
    const items = page.items.map((hit) => this.#item(query, hit));
    const shown = offset + items.length;
    const more =
      items.length && shown < page.total
        ? h("button", { type: "button", class: "more", onclick: () => this.#run(shown) }, "Show more")
        : null;
    if (offset) {
      this.#results.querySelector(".more")?.remove();
      this.#results.querySelector("ol").append(...items);
      if (more) this.#results.append(more);
      return;
    }
    this.#show([
      h("p", { class: "group-head", role: "status" }, page.total ? plural(page.total, "message") : "No message has these words."),
      h("ol", { class: "rows" }, items),
      more,
    ]);
    this.#results.parentElement.scrollTop = 0;
  }

  #item(query, { message, conversation, snippet }) {
    return h("li", {}, [
      h(
        "a",
        {
          class: "hit",
          testid: "search-result",
          href: `#/c/${conversation.id}/${message.position}`,
          onclick: () => this.#onOpen(query),
        },
        [
          h("span", { class: "hit-title" }, conversation.title || "New conversation"),
          h("span", { class: "hit-text" }, [renderSnippet(snippet)]),
          h("span", { class: "hit-foot" }, `${message.role === "user" ? "You" : "Answer"} · ${shortTime(message.created_at)}`),
        ],
      ),
    ]);
  }

  #show(content) {
    if (!content) {
      clearTimeout(this.#timer);
      this.#asked++;
    }
    this.#results.replaceChildren(...(content ?? []).filter(Boolean));
    this.#results.hidden = !content;
    this.#tree.hidden = Boolean(content);
  }

  #keydown(event) {
    if (event.key === "Escape") {
      event.stopPropagation();
      event.preventDefault();
      this.clear();
      this.#onLeave();
      return;
    }
    const stops = [this.#field, ...this.#results.querySelectorAll("a")];
    const at = stops.indexOf(event.target);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (at < 0 || !step) return;
    event.preventDefault();
    stops[at + step]?.focus();
  }
}
