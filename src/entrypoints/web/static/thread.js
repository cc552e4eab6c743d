// The open conversation: a window of its messages, the live answer, asking, stopping, asking again.
// The window is a run of positions without gaps; `#atStart` and `#atEnd` say whether there is more.

import * as api from "./api.js";
import { MessageView } from "./message.js";
import { ReplyStream } from "./stream.js";
import { announce, h, showError } from "./ui.js";

const PAGE = 50;
const NEAR = 600;
const AROUND = 25;

export class Thread {
  conversationId = null;
  #dom;
  #library;
  #composer;
  #on;
  // Grows when the page goes elsewhere: what was awaited before is then no longer wanted.
  #turn = 0;
  #list = null;
  #views = [];
  #low = Infinity;
  #high = 0;
  #atStart = true;
  #atEnd = true;
  #loading = false;
  #stream = null;
  #stopWanted = false;
  #live = false;
  #pinned = true;
  #lastTop = 0;

  /** `dom` holds scroller, content, jump and notice; `on.created(id)`, `on.missing(error)`. */
  constructor(dom, library, composer, on) {
    this.#dom = dom;
    this.#library = library;
    this.#composer = composer;
    this.#on = on;
    dom.scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    dom.jump.addEventListener("click", () => this.#jump());
    const follow = new ResizeObserver(() => this.#pinned && this.#toEnd());
    follow.observe(dom.content);
    follow.observe(dom.scroller);
  }

  get isLive() {
    return this.#live;
  }

  /** Shows something else, such as the start page, in place of a conversation. */
  showInstead(element) {
    this.#leave();
    this.#dom.content.replaceChildren(element);
    this.#dom.scroller.scrollTop = 0;
    this.#pinned = false;
  }

  /** Opens at the end, or around `position`, where words of `query` are marked. */
  async open(id, { position = null, query = null } = {}) {
    this.#begin();
    this.conversationId = id;
    const turn = this.#turn;
    this.#list.append(h("p", { class: "loading", role: "status" }, "Loading…"));
    let conversation;
    let page;
    try {
      // In this order: an answer that ends in between is then in the page.
      conversation = await this.#library.refresh(id);
      page = await api.messages.page(id, position === null ? { limit: PAGE } : { limit: PAGE, before: position + AROUND });
    } catch (error) {
      if (turn !== this.#turn) return;
      if (error.status === 404 || error.status === 403) this.#library.drop(id);
      this.#on.missing(error);
      return;
    }
    if (turn !== this.#turn) return;
    this.#list.replaceChildren();
    this.#merge(page.items);
    this.#atStart = page.items.length < PAGE;
    this.#composer.setAgent(conversation.agent);
    if (position === null) {
      this.#attach(conversation);
      this.#toEnd();
    } else {
      this.#pinned = false;
      this.#atEnd = false;
      this.#point(position, query);
      await this.#loadNewer();
    }
    this.#ends();
  }

  /** Moves to a message, within the window if it is there. */
  goTo(position, query) {
    if (!this.#point(position, query)) this.open(this.conversationId, { position, query });
  }

  async send(text, { agent, roomId }) {
    if (!this.#atEnd) await this.open(this.conversationId);
    else if (!this.conversationId) this.#begin();
    const turn = this.#turn;
    const question = MessageView.sending(text);
    const answer = MessageView.live();
    this.#place(question);
    this.#place(answer);
    this.#setLive(true);
    this.#toEnd();
    let id = this.conversationId;
    try {
      if (!id) {
        ({ id } = await this.#library.createConversation({ roomId, agent }));
        if (turn === this.#turn) {
          this.conversationId = id;
          this.#on.created(id);
        }
      }
      const { message, reply } = await api.messages.post(id, { content: text, agent });
      if (turn === this.#turn) {
        question.settle(message);
        this.#sort();
        this.#watch(reply, answer);
      }
      this.#refreshSummary(id);
    } catch (error) {
      showError(error);
      if (turn !== this.#turn) return this.#composer.keep(id ? `c/${id}` : "", text);
      this.#remove(question);
      this.#remove(answer);
      this.#setLive(false);
      this.#composer.giveBack(text);
      if (error.code === "reply_in_progress") await this.catchUp();
      else if (!this.#views.length && this.#on.empty) this.#on.empty();
    }
  }

  /** Stops the live answer; what was written of it stays. */
  async stop() {
    if (!this.#live) return;
    this.#composer.setStopping();
    const stream = this.#stream;
    if (!stream) {
      this.#stopWanted = true;
      return;
    }
    try {
      const reply = await api.replies.cancel(stream.replyId);
      // Without a message it takes longer: the stream's last event will tell.
      if (reply?.message) stream.finish(reply.message);
    } catch (error) {
      if (this.#stream !== stream) return;
      showError(error);
      this.#composer.setLive(true);
    }
  }

  /** Reads what happened while the page did not look: other tabs, a lost connection. */
  async catchUp() {
    const id = this.conversationId;
    if (!id || this.#loading || !this.#atEnd || this.#stream) return;
    const turn = this.#turn;
    try {
      const conversation = await this.#library.refresh(id);
      const page = await api.messages.page(id, { limit: PAGE });
      if (turn !== this.#turn || this.#stream) return;
      this.#merge(page.items, { complete: true });
      this.#attach(conversation);
    } catch (error) {
      if (turn === this.#turn) showError(error);
    }
  }

  #begin() {
    this.#leave();
    this.#list = h("div", { class: "messages" });
    this.#dom.content.replaceChildren(this.#list);
    this.#pinned = true;
  }

  #leave() {
    this.#turn++;
    this.#stream?.close();
    this.#stream = null;
    this.#stopWanted = false;
    this.conversationId = null;
    this.#views = [];
    this.#low = Infinity;
    this.#high = 0;
    this.#atStart = this.#atEnd = true;
    this.#loading = false;
    this.#lastTop = 0;
    this.#dom.jump.hidden = true;
    this.#dom.notice.hidden = true;
    CSS.highlights?.delete("search");
    this.#setLive(false);
  }

  #attach(conversation) {
    const id = conversation.live_reply_id;
    if (!id || this.#views.some((view) => view.message.id === id)) return;
    const answer = MessageView.live({ conversation_id: conversation.id });
    this.#place(answer);
    this.#setLive(true);
    this.#watch({ id, position: Infinity, conversation_id: conversation.id }, answer);
  }

  #watch(reply, view) {
    view.bind(reply);
    const id = this.conversationId;
    this.#stream = new ReplyStream(reply.id, {
      event: (name, data) => this.#progress(view, name, data),
      connection: (connected) => this.#notify(connected ? null : "Connection lost. Reconnecting…"),
      end: (message) => this.#finished(view, message, id),
    });
    if (this.#stopWanted) this.stop();
    this.#stopWanted = false;
  }

  #progress(view, name, data) {
    if (name === "reply.started") view.started();
    else if (name === "reply.delta") view.append(data.text);
    else if (name === "reply.sources") view.setSources(data.sources);
    else if (name === "reply.tool_call") view.note(`Using ${toolName(data)}…`);
    else view.note("Waiting for the answer");
  }

  async #finished(view, message, id) {
    this.#stream = null;
    if (message) {
      view.settle(message);
      this.#sort();
      this.#setLive(false);
    } else {
      this.#remove(view);
      this.#setLive(false);
      await this.catchUp();
    }
    announce((message ? view : this.#views.at(-1))?.spoken ?? "");
    if (this.#pinned) this.#toEnd();
    this.#refreshSummary(id);
  }

  async #regenerate(view) {
    const turn = this.#turn;
    try {
      const { reply } = await api.replies.regenerate(view.message.id);
      if (turn !== this.#turn) return;
      this.#remove(view);
      const answer = MessageView.live(reply);
      this.#place(answer);
      this.#setLive(true);
      this.#watch(reply, answer);
      this.#toEnd();
      this.#composer.focus();
    } catch (error) {
      showError(error);
      if (turn === this.#turn && error.status === 409) await this.catchUp();
    }
  }

  /** Sends another version of a question; whether it was taken. */
  async #edit(view, text) {
    const turn = this.#turn;
    try {
      const { message, reply } = await api.messages.edit(view.message.id, { content: text, agent: this.#composer.agent });
      if (turn !== this.#turn) return true;
      this.#cut(message.position);
      this.#atEnd = true;
      const answer = MessageView.live(reply);
      this.#place(new MessageView(message));
      this.#place(answer);
      this.#setLive(true);
      this.#watch(reply, answer);
      this.#toEnd();
      this.#composer.focus();
      this.#refreshSummary(message.conversation_id);
      return true;
    } catch (error) {
      showError(error);
      if (turn === this.#turn && error.code === "reply_in_progress") await this.catchUp();
      return false;
    }
  }

  /** Goes over to another version of a message, and to what followed that. */
  async #go(view, id, forward) {
    const turn = this.#turn;
    const { position } = view.message;
    try {
      this.#library.put(await api.messages.select(id));
      const page = await api.messages.page(this.conversationId, { limit: PAGE, after: position - 1 });
      if (turn !== this.#turn) return;
      this.#pinned = false;
      this.#cut(position);
      this.#atEnd = page.items.length < PAGE;
      this.#merge(page.items);
      const there = this.#views.find((one) => one.message.position === position);
      await there?.versionsShown;
      there?.focusVersions(forward);
    } catch (error) {
      showError(error);
      if (turn === this.#turn && error.status === 409) await this.catchUp();
    }
  }

  /** Rates an answer, or with null takes the rating back; whether that was done. */
  async #rate(view, rating) {
    const { id } = view.message;
    try {
      const { feedback } = await (rating ? api.messages.rate(id, rating) : api.messages.takeRatingBack(id));
      view.setFeedback(feedback);
      return true;
    } catch (error) {
      showError(error);
      return false;
    }
  }

  async #refreshSummary(id) {
    try {
      await this.#library.refresh(id);
    } catch {
      // Only the sidebar's line is a little old.
    }
  }

  // The window -------------------------------------------------------------------------------

  async #loadOlder() {
    const turn = this.#turn;
    this.#loading = true;
    try {
      const page = await api.messages.page(this.conversationId, { limit: PAGE, before: this.#low });
      if (turn !== this.#turn) return;
      const { scroller } = this.#dom;
      const below = scroller.scrollHeight - scroller.scrollTop;
      this.#atStart = page.items.length < PAGE;
      this.#merge(page.items);
      scroller.scrollTop = this.#lastTop = scroller.scrollHeight - below;
    } catch (error) {
      // Not again at once: the next scrolling tries again.
      if (turn === this.#turn) showError(error);
    } finally {
      if (turn === this.#turn) this.#loading = false;
    }
  }

  async #loadNewer() {
    const turn = this.#turn;
    this.#loading = true;
    try {
      const page = await api.messages.page(this.conversationId, { limit: PAGE, after: this.#high });
      if (turn !== this.#turn) return;
      this.#merge(page.items);
      this.#atEnd = page.items.length < PAGE;
      if (this.#atEnd) this.#attach(await this.#library.refresh(this.conversationId));
      if (turn === this.#turn) this.#ends();
    } catch (error) {
      if (turn === this.#turn) showError(error);
    } finally {
      if (turn === this.#turn) this.#loading = false;
    }
  }

  /** Brings a page into the window; a complete one also says what is gone. */
  #merge(items, { complete = false } = {}) {
    const known = new Map(this.#views.map((view) => [view.message.id, view]));
    for (const message of items) {
      this.#low = Math.min(this.#low, message.position);
      this.#high = Math.max(this.#high, message.position);
      // Between the model and its tools: no part of the talk.
      if (message.role !== "user" && message.role !== "assistant") continue;
      const view = known.get(message.id);
      if (!view) this.#views.push(new MessageView(message));
      else if (!view.isLive && differs(view.message, message)) view.settle(message);
    }
    if (complete && items.length) {
      const present = new Set(items.map((message) => message.id));
      for (const view of [...this.#views]) {
        const { id, position } = view.message;
        if (id && !view.isLive && position >= items[0].position && !present.has(id)) this.#remove(view);
      }
    }
    this.#sort();
  }

  #place(view) {
    this.#views.push(view);
    this.#list.append(view.element);
    this.#ends();
  }

  #remove(view) {
    this.#views = this.#views.filter((one) => one !== view);
    view.element.remove();
    this.#ends();
  }

  /** Takes away everything from a position on. */
  #cut(position) {
    for (const view of this.#views.filter((one) => one.message.position >= position)) {
      this.#views = this.#views.filter((one) => one !== view);
      view.element.remove();
    }
    this.#high = position - 1;
  }

  #sort() {
    this.#views.sort((one, other) => order(one) - order(other) || 0);
    let before = null;
    for (const view of this.#views) {
      const next = before ? before.nextElementSibling : this.#list.firstElementChild;
      if (view.element !== next) this.#list.insertBefore(view.element, next);
      before = view.element;
    }
    this.#ends();
  }

  #ends() {
    const last = this.#views.at(-1);
    for (const view of this.#views) {
      const free = !this.#live;
      view.offer({
        edit: free ? (text) => this.#edit(view, text) : null,
        go: free ? (id, forward) => this.#go(view, id, forward) : null,
        rate: (rating) => this.#rate(view, rating),
        regenerate: free && view === last && this.#atEnd ? () => this.#regenerate(view) : null,
      });
      if (view.lacksVersions) view.showVersions(api.messages.versions(view.message.id).then(({ items }) => items.map(({ id }) => id)));
    }
    this.#scrolled();
  }

  #setLive(live) {
    this.#live = live;
    this.#composer.setLive(live);
    if (!live) this.#notify(null);
    this.#ends();
  }

  #notify(text) {
    this.#dom.notice.hidden = text === null;
    if (text) this.#dom.notice.textContent = text;
  }

  // Scrolling --------------------------------------------------------------------------------

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#dom.scroller;
    const distance = scrollHeight - scrollTop - clientHeight;
    if (!this.conversationId && !this.#live) return;
    if (distance < 40) this.#pinned = this.#atEnd;
    else if (scrollTop < this.#lastTop) this.#pinned = false;
    this.#lastTop = scrollTop;
    this.#dom.jump.hidden = this.#atEnd && (this.#pinned || distance < 160);
    if (this.#loading || !this.#views.length) return;
    if (!this.#atStart && scrollTop < NEAR) this.#loadOlder();
    else if (!this.#atEnd && distance < NEAR) this.#loadNewer();
  }

  #toEnd() {
    const { scroller } = this.#dom;
    this.#pinned = true;
    scroller.scrollTop = scroller.scrollHeight;
    this.#lastTop = scroller.scrollTop;
    this.#dom.jump.hidden = this.#atEnd;
  }

  #jump() {
    if (this.#atEnd) this.#toEnd();
    else this.open(this.conversationId);
    this.#composer.focus();
  }

  #point(position, query) {
    const view = this.#views.find((one) => one.message.position === position);
    if (!view) return false;
    this.#pinned = false;
    const { scroller } = this.#dom;
    view.point();
    const target = (query && markWords(view.element, query)) || view.element;
    const { top, height } = target.getBoundingClientRect();
    const space = Math.max(24, (scroller.clientHeight - height) / 2);
    scroller.scrollTop += top - scroller.getBoundingClientRect().top - space;
    return true;
  }
}

function order(view) {
  return Number.isFinite(view.message.position) ? view.message.position : Number.MAX_SAFE_INTEGER;
}

function differs(shown, message) {
  return ["version", "status", "alternatives"].some((name) => shown[name] !== message[name]) || shown.feedback?.rating !== message.feedback?.rating;
}

function toolName(data) {
  const name = data.name ?? data.tool ?? data.call?.name ?? "a tool";
  return name.replaceAll("_", " ");
}

/** Marks the words of a query without touching the document (CSS Custom Highlight API); gives the first. */
function markWords(element, query) {
  if (!CSS.highlights) return null;
  const words = query.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  const ranges = [];
  const walker = document.createTreeWalker(element.querySelector('[data-testid="message-content"]'), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data.toLowerCase();
    for (const word of words) {
      for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
        const range = new Range();
        range.setStart(walker.currentNode, at);
        range.setEnd(walker.currentNode, at + word.length);
        ranges.push(range);
      }
    }
  }
  CSS.highlights.set("search", new Highlight(...ranges));
  return ranges[0] ?? null;
}
