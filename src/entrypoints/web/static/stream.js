// One watched reply. The server's log is numbered; each event is delivered once, in order, whatever
// the connection does, and the end is delivered exactly once.

import { replies } from "./api.js";

const PROGRESS = ["reply.started", "reply.delta", "reply.sources", "reply.tool_call", "reply.tool_result"];
const TERMINAL = ["reply.completed", "reply.cancelled", "reply.failed", "reply.timed_out", "reply.interrupted"];
const LIVE = new Set(["queued", "running"]);

// Heartbeats are comments, which EventSource hides; after this much silence the page asks.
const SILENCE_MS = 20_000;
const RETRY_MS = [1_000, 2_000, 4_000, 8_000, 15_000];

export class ReplyStream {
  #replyId;
  #on;
  #source = null;
  #lastSeq = null;
  #silence = null;
  #retry = null;
  #failures = 0;
  #closed = false;
  #recheck = () => this.#check();

  /**
   * `on.event(name, data)` for each progress event, `on.end(message | null)` once (null: read the
   * history), `on.connection(isConnected)` whenever that changes.
   */
  constructor(replyId, on) {
    this.#replyId = replyId;
    this.#on = on;
    addEventListener("online", this.#recheck);
    this.#connect();
  }

  get replyId() {
    return this.#replyId;
  }

  close() {
    this.#closed = true;
    removeEventListener("online", this.#recheck);
    clearTimeout(this.#silence);
    clearTimeout(this.#retry);
    this.#source?.close();
  }

  /** Ends the stream with a message learned elsewhere, such as the answer to a cancel. */
  finish(message) {
    if (this.#closed) return;
    this.close();
    this.#on.connection(true);
    this.#on.end(message);
  }

  #connect() {
    this.#source?.close();
    const source = new EventSource(replies.eventsUrl(this.#replyId, this.#lastSeq));
    this.#source = source;
    source.onopen = () => {
      this.#failures = 0;
      this.#on.connection(true);
    };
    source.onerror = () => {
      if (this.#closed || source !== this.#source) return;
      // CLOSED: there is nothing more (204), or the server refused. Only the reply itself can tell.
      if (source.readyState === EventSource.CLOSED) this.#check();
      else this.#on.connection(false);
    };
    for (const name of PROGRESS) source.addEventListener(name, (event) => this.#receive(name, event));
    for (const name of TERMINAL) source.addEventListener(name, (event) => this.#receive(name, event));
    this.#listenForSilence();
  }

  #receive(name, event) {
    if (this.#closed) return;
    const data = JSON.parse(event.data);
    const terminal = TERMINAL.includes(name);
    const seq = data.seq ?? Number.parseInt(event.lastEventId, 10);
    if (Number.isFinite(seq)) {
      if (!terminal && this.#lastSeq !== null && seq <= this.#lastSeq) return;
      this.#lastSeq = Math.max(seq, this.#lastSeq ?? seq);
    }
    this.#listenForSilence();
    if (terminal) this.finish(data.message ?? null);
    else this.#on.event(name, data);
  }

  async #check() {
    if (this.#closed) return;
    clearTimeout(this.#silence);
    let reply;
    try {
      reply = await replies.get(this.#replyId);
    } catch (error) {
      if (this.#closed) return;
      if (error.status === 403 || error.status === 404) return this.finish(null);
      this.#on.connection(false);
      return this.#retryLater();
    }
    if (this.#closed) return;
    if (!LIVE.has(reply.status)) return this.finish(reply.message ?? null);
    if (this.#source.readyState === EventSource.CLOSED) return this.#retryLater();
    this.#listenForSilence();
  }

  #retryLater() {
    const wait = RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)];
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      if (this.#source.readyState === EventSource.CLOSED) this.#connect();
      else this.#check();
    }, wait);
  }

  #listenForSilence() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(this.#recheck, SILENCE_MS);
  }
}
