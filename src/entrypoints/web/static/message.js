// One message on the page: as it was stored, or as it is being written.

import { GrowingMarkdown, render } from "./markdown.js";
import { copyButton, h, icon, iconButton, shortTime } from "./ui.js";

const ENDINGS = {
  cancelled: () => "Stopped",
  failed: (error) => (error?.message ? `Failed: ${error.message}` : "Failed"),
  timed_out: () => "Timed out",
  interrupted: () => "Interrupted – the server restarted",
};

export class MessageView {
  element;
  message;
  #body;
  #progress;
  #sources;
  #foot;
  #growing = null;
  #listed = [];

  constructor(message) {
    const mine = message.role === "user";
    this.message = message;
    this.#body = h("div", { class: mine ? "content" : "content markdown", testid: "message-content" });
    this.#progress = h("p", { class: "progress", hidden: true });
    this.#sources = h("section", { class: "sources", "aria-label": "Sources", hidden: true });
    this.#foot = h("footer", { class: "message-foot" });
    this.element = h("article", { class: `message ${mine ? "mine" : "theirs"}`, testid: "message", tabindex: "-1" }, [
      h("h2", { class: "visually-hidden" }, mine ? "You" : "Parley"),
      this.#body,
      this.#progress,
      this.#sources,
      this.#foot,
    ]);
    this.settle(message);
  }

  /** A question on its way to the server. */
  static sending(content) {
    return new MessageView({ id: null, position: Infinity, role: "user", status: "sending", content });
  }

  /** An answer of which nothing is there yet. */
  static live(reply = {}) {
    const view = new MessageView({ id: null, position: Infinity, conversation_id: null, role: "assistant", content: "", sources: [], ...reply, status: "queued" });
    view.#growing = new GrowingMarkdown(view.#body, (number) => view.#cite(number));
    view.note("Waiting for the answer");
    return view;
  }

  get isLive() {
    return this.#growing !== null;
  }

  /** The server has taken it: now it has an id and a place. */
  bind({ id, position, conversation_id, agent, version }) {
    Object.assign(this.message, { id, position, conversation_id, agent, version });
    this.#mark();
  }

  /** Another attempt begins the text anew. */
  started(attempt = 1) {
    if (attempt > 1) this.#growing = new GrowingMarkdown(this.#body, (number) => this.#cite(number));
    this.message.status = "running";
    this.#mark();
  }

  append(text) {
    if (this.message.status !== "running") this.started();
    this.#growing.append(text);
    this.note(null);
  }

  /** What is going on while no text comes. */
  note(text) {
    this.#progress.hidden = text === null;
    if (text === null) return this.#progress.replaceChildren();
    this.#progress.replaceChildren(h("span", { class: "dots", "aria-hidden": "true" }, [h("i"), h("i"), h("i")]), h("span", { class: text.startsWith("Waiting") ? "visually-hidden" : "" }, text));
  }

  setSources(sources) {
    this.#listed = sources ?? [];
    this.#sources.hidden = !this.#listed.length;
    if (!this.#listed.length) {
      delete this.#sources.dataset.testid;
      return this.#sources.replaceChildren();
    }
    this.#sources.dataset.testid = "sources";
    this.#sources.replaceChildren(
      h("h3", {}, "Sources"),
      h(
        "ol",
        {},
        this.#listed.map((source) =>
          h("li", { "data-number": source.number }, [
            h("details", {}, [
              h("summary", {}, [
                h("span", { class: "number" }, String(source.number)),
                h("span", { class: "source-title" }, source.title),
                source.heading && source.heading !== source.title ? h("span", { class: "source-heading" }, source.heading) : null,
                icon("chevron"),
              ]),
              h("div", { class: "excerpt markdown" }, [render(source.excerpt ?? "")]),
            ]),
          ]),
        ),
      ),
    );
  }

  /** The stored message is the truth: whatever was streamed is replaced by it. */
  settle(message) {
    this.message = message;
    this.note(null);
    if (message.role === "user") {
      this.#body.textContent = message.content;
    } else {
      this.setSources(message.sources);
      if (this.#growing) this.#growing.finish(message.content);
      else this.#body.replaceChildren(render(message.content, (number) => this.#cite(number)));
      this.#growing = null;
    }
    const nothing = !message.content && message.status in ENDINGS;
    this.#body.hidden = nothing;
    if (nothing) this.setSources(null);
    this.#mark();
    this.#drawFoot();
  }

  /** The last answer can be asked for again; `onRegenerate` null takes the button away. */
  offerRegenerate(onRegenerate) {
    const button = this.#foot.querySelector(".regenerate");
    if (!onRegenerate) return button?.remove();
    if (button || this.message.role !== "assistant" || this.isLive) return;
    const offer = iconButton(
      "refresh",
      "Regenerate",
      async () => {
        offer.disabled = true;
        await onRegenerate();
        offer.disabled = false;
      },
      { class: "icon-button small regenerate", testid: "regenerate" },
    );
    this.#foot.querySelector(".actions")?.append(offer);
  }

  /** Draws the eye for a moment, and takes the focus. */
  point() {
    this.element.classList.add("pointed");
    this.element.focus({ preventScroll: true });
    setTimeout(() => this.element.classList.remove("pointed"), 2_400);
  }

  /** What a screen reader says when the answer is complete. */
  get spoken() {
    const ending = ENDINGS[this.message.status]?.(this.message.error);
    const text = this.#body.innerText.replace(/\s+/g, " ").trim();
    return ["Answer:", text.length > 1_000 ? `${text.slice(0, 1_000)} …` : text, ending].filter(Boolean).join(" ");
  }

  #mark() {
    const { id, role, status, position } = this.message;
    Object.assign(this.element.dataset, { role, status });
    if (id) this.element.dataset.id = id;
    if (Number.isFinite(position)) this.element.dataset.position = position;
    this.element.setAttribute("aria-busy", String(this.isLive));
  }

  #drawFoot() {
    const { role, status, metadata, created_at: at, error, content } = this.message;
    const badges = [
      ENDINGS[status] && h("span", { class: `badge ${status}` }, ENDINGS[status](error)),
      metadata?.offline && h("span", { class: "badge plain", title: "No model is configured: this quotes the knowledge base." }, "offline answer"),
      metadata?.fallback && h("span", { class: "badge plain", title: metadata.fallback.message ?? "The model did not answer." }, "fallback answer"),
    ];
    const facts = [
      role === "assistant" && metadata?.model,
      role === "assistant" && metadata?.response_time_ms && `${(metadata.response_time_ms / 1000).toFixed(1)} s`,
      at && shortTime(at),
    ];
    this.#foot.replaceChildren(
      ...[
        ...badges,
        h("span", { class: "actions" }, content && status !== "sending" ? copyButton(role === "user" ? "Copy message" : "Copy answer", () => content) : null),
        h("span", { class: "facts" }, facts.filter(Boolean).join(" · ")),
      ].filter(Boolean),
    );
    this.#foot.hidden = this.isLive || status === "sending" || status === "queued";
  }

  #cite(number) {
    const source = this.#listed.find((one) => one.number === number);
    if (!source) return null;
    return h(
      "a",
      {
        class: "cite",
        href: `#/c/${this.message.conversation_id}/${this.message.position}`,
        "aria-label": `Source ${number}: ${source.title}`,
        title: source.title,
        onclick: (event) => {
          event.preventDefault();
          const item = this.#sources.querySelector(`[data-number="${number}"] details`);
          item.open = true;
          item.querySelector("summary").focus({ preventScroll: true });
          item.scrollIntoView({ block: "nearest" });
        },
      },
      String(number),
    );
  }
}
