// One message on the page: as it was stored, or as it is being written.

import { isTooLong } from "./composer.js";
import { GrowingMarkdown, render } from "./markdown.js";
import { announce, copyButton, h, icon, iconButton, shortTime, toast } from "./ui.js";

const ENDINGS = {
  cancelled: () => "Stopped",
  failed: (error) => (error?.message ? `Failed: ${error.message}` : "Failed"),
  timed_out: () => "Timed out",
  interrupted: () => "Interrupted – the server restarted",
};

export class MessageView {
  element;
  message;
  versionsShown = Promise.resolve();
  #body;
  #progress;
  #sources;
  #foot;
  #growing = null;
  #listed = [];
  #offers = {};
  #versions = null;
  #editor = null;

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

  /** The text begins, or begins anew: in another attempt, or after another answer was followed in vain. */
  started() {
    if (this.message.status === "running") this.#growing = new GrowingMarkdown(this.#body, (number) => this.#cite(number));
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
    if (message.id !== this.message.id || message.alternatives !== this.message.alternatives) this.#versions = null;
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

  /**
   * What can be done with it at present, null for what cannot: `edit(text)` says whether it was taken,
   * `go(id)` leads to another version, `rate(rating)` and `regenerate()` are an answer's.
   */
  offer(offers) {
    const same = Object.keys(offers).every((name) => !offers[name] === !this.#offers[name]);
    this.#offers = offers;
    if (!same) this.#drawFoot();
  }

  /** Whether it has other versions of which the page does not know yet. */
  get lacksVersions() {
    return Boolean(this.message.alternatives) && this.#versions === null;
  }

  /** Offers its versions, once `told` gives the ids of all of them in their order. */
  showVersions(told) {
    const waiting = [];
    this.#versions = waiting;
    this.versionsShown = told
      .then((ids) => {
        if (this.#versions !== waiting) return;
        this.#versions = ids;
        this.#drawFoot();
      })
      .catch(() => {}); // The versions are not offered; the messages themselves are there.
  }

  setFeedback(feedback) {
    this.message.feedback = feedback;
    for (const button of this.#foot.querySelectorAll("[data-rating]")) {
      button.setAttribute("aria-pressed", String(button.dataset.rating === feedback?.rating));
    }
  }

  /** After a change of version the hand or the finger may want to go on. */
  focusVersions(forward) {
    const [back, on] = this.#foot.querySelectorAll(".versions button");
    const wanted = forward ? [on, back] : [back, on];
    (wanted.find((button) => button && !button.disabled) ?? this.element).focus({ preventScroll: true });
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

  #beginEdit() {
    const field = h("textarea", { class: "edit-field", testid: "edit-field", rows: 1, "aria-label": "Edit your message", autocomplete: "off" });
    const grow = () => {
      field.style.height = "auto";
      field.style.height = `${field.scrollHeight}px`;
    };
    field.value = this.message.content;
    field.addEventListener("input", grow);
    const send = h("button", { type: "submit", class: "edit-send", testid: "edit-send" }, "Send");
    const cancel = h("button", { type: "button", class: "edit-cancel", testid: "edit-cancel", onclick: () => this.#endEdit(true) }, "Cancel");
    this.#editor = h("form", { class: "editor", "aria-label": "Edit your message", novalidate: true }, [field, h("div", { class: "editor-foot" }, [cancel, send])]);
    this.#editor.addEventListener("submit", async (event) => {
      event.preventDefault();
      const text = field.value.trim();
      if (!text || send.disabled || isTooLong(text)) return;
      if (!this.#offers.edit) return toast("An answer is under way. Stop it first, or wait for its end.");
      send.disabled = true;
      const taken = await this.#offers.edit(text);
      send.disabled = false;
      if (!taken) field.focus();
    });
    this.#editor.addEventListener("keydown", (event) => {
      if (event.isComposing || event.keyCode === 229) return;
      if (event.key === "Escape") {
        event.stopPropagation();
        this.#endEdit(true);
      } else if (event.key === "Enter" && !event.shiftKey && event.target === field) {
        event.preventDefault();
        this.#editor.requestSubmit();
      }
    });
    this.#body.hidden = this.#foot.hidden = true;
    this.element.classList.add("editing");
    this.#body.after(this.#editor);
    grow();
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }

  #endEdit(withFocus = false) {
    if (!this.#editor) return;
    this.#editor.remove();
    this.#editor = null;
    this.element.classList.remove("editing");
    this.#body.hidden = this.#foot.hidden = false;
    if (withFocus) this.#foot.querySelector(".edit")?.focus();
  }

  /** The buttons for what is offered. */
  #actions() {
    const { id, role, content } = this.message;
    const { edit, go, rate, regenerate } = this.#offers;
    const mine = role === "user";
    const actions = content ? [copyButton(mine ? "Copy message" : "Copy answer", () => content)] : [];
    if (mine && edit && id) {
      actions.push(iconButton("pencil", "Edit and ask again", () => this.#beginEdit(), { class: "icon-button small edit", testid: "edit" }));
    }
    if (!mine && rate && id && content) {
      actions.push(this.#thumb("up", "thumbUp", "Good answer"), this.#thumb("down", "thumbDown", "Bad answer"));
    }
    if (!mine && regenerate) {
      const again = async () => {
        offer.disabled = true;
        await this.#offers.regenerate?.();
        offer.disabled = false;
      };
      const offer = iconButton("refresh", "Regenerate", again, { class: "icon-button small regenerate", testid: "regenerate" });
      actions.push(offer);
    }
    if (go && this.#versions?.length > 1) actions.push(this.#versionsNav());
    return actions;
  }

  #thumb(rating, picture, label) {
    const pressed = () => this.message.feedback?.rating === rating;
    const toggle = async () => {
      button.disabled = true;
      const done = await this.#offers.rate?.(pressed() ? null : rating);
      button.disabled = false;
      button.focus({ preventScroll: true });
      if (done) announce(pressed() ? `Rated: ${label}` : "Rating taken back");
    };
    const button = iconButton(picture, label, toggle, {
      class: "icon-button small thumb",
      "aria-pressed": String(pressed()),
      "data-rating": rating,
      testid: `thumb-${rating}`,
    });
    return button;
  }

  #versionsNav() {
    const all = this.#versions;
    const at = all.indexOf(this.message.id);
    const step = (by, name, label, testid) => {
      const button = iconButton(name, label, () => this.#offers.go?.(all[at + by], by > 0), { class: "icon-button small", testid });
      button.disabled = !all[at + by];
      return button;
    };
    return h("span", { class: "versions", role: "group", "aria-label": `Version ${at + 1} of ${all.length}` }, [
      step(-1, "back", "Previous version", "previous-version"),
      h("span", { class: "version-count", testid: "version", "aria-hidden": "true" }, `${at + 1}/${all.length}`),
      step(1, "chevron", "Next version", "next-version"),
    ]);
  }

  #drawFoot() {
    const { role, status, metadata, created_at: at, error } = this.message;
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
        h("span", { class: "actions" }, status === "sending" ? [] : this.#actions()),
        h("span", { class: "facts" }, facts.filter(Boolean).join(" · ")),
      ].filter(Boolean),
    );
    this.#foot.hidden = this.isLive || status === "sending" || status === "queued" || this.#editor !== null;
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
