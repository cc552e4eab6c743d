// The HTTP contract, one function a call. Every failure is an ApiError with a text fit to show.

const BASE = "/api/v1";
const VISITOR_KEY = "parley.visitor_until";

export class ApiError extends Error {
  constructor({ code, message, status = 0, details = null, requestId = null, retryAfter = null }) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.status = status;
    this.details = details;
    this.requestId = requestId;
    this.retryAfter = retryAfter;
  }

  /** The message, what is wrong with which field, and when to try again. */
  get readable() {
    const parts = [this.message];
    for (const [field, problems] of Object.entries(this.details?.fields ?? {})) {
      const what = `${field}: ${[problems].flat().map(plain).join(" ")}`;
      if (!this.message.includes(what)) parts.push(what);
    }
    if (this.retryAfter) parts.push(`Try again in ${duration(this.retryAfter)}.`);
    if (this.status >= 500 && this.requestId) parts.push(`(Request ${this.requestId})`);
    return parts.join(" ");
  }
}

/** Makes sure there is someone to speak for: a first visit gets a visitor, without a sign-in. */
export async function ensureVisitor() {
  const until = Date.parse(remembered() ?? "");
  if (!(until > Date.now())) await newVisitor();
}

/** Says "replaced" when the visitor was no longer known and somebody new has taken their place. */
export const visitor = new EventTarget();

export const rooms = {
  list: () => get("/rooms", { limit: 100, sort_by: "last_activity_at", order: "desc" }),
  get: (id) => get(`/rooms/${id}`),
  create: (name) => send("POST", "/rooms", { name }),
  rename: (id, name) => send("PATCH", `/rooms/${id}`, { name }),
  delete: (id) => send("DELETE", `/rooms/${id}`),
  restore: (id) => send("POST", `/rooms/${id}/restore`),
};

export const conversations = {
  list: ({ roomId, limit = 100, offset = 0 } = {}) =>
    get("/conversations", { room_id: roomId, limit, offset, sort_by: "last_activity_at", order: "desc" }),
  get: (id) => get(`/conversations/${id}`),
  create: ({ roomId, agent } = {}) => send("POST", "/conversations", compact({ room_id: roomId, agent })),
  rename: (id, title) => send("PATCH", `/conversations/${id}`, { title }),
  setAgent: (id, agent) => send("PATCH", `/conversations/${id}`, { agent }),
  delete: (id) => send("DELETE", `/conversations/${id}`),
  restore: (id) => send("POST", `/conversations/${id}/restore`),
};

export const messages = {
  /** Without a cursor or with `before`: the newest below it; with `after`: the oldest above it. */
  page: (conversationId, { limit = 50, before, after } = {}) =>
    get(`/conversations/${conversationId}/messages`, { limit, before, after }),
  post: (conversationId, { content, agent }) =>
    send("POST", `/conversations/${conversationId}/messages`, compact({ content, agent })),
  edit: (id, { content, agent }) => send("POST", `/messages/${id}/edit`, compact({ content, agent })),
  versions: (id) => get(`/messages/${id}/versions`, { limit: 100 }),
  select: (id) => send("POST", `/messages/${id}/select`),
  rate: (id, rating) => send("PUT", `/messages/${id}/feedback`, { rating }),
  takeRatingBack: (id) => send("DELETE", `/messages/${id}/feedback`),
  search: (q, { limit = 20, offset = 0 } = {}) => get("/search", { q, limit, offset }),
};

export const replies = {
  get: (id) => get(`/replies/${id}`),
  cancel: (id) => send("POST", `/replies/${id}/cancel`),
  regenerate: (id) => send("POST", `/replies/${id}/regenerate`),
  eventsUrl: (id, after) => `${BASE}/replies/${id}/events${after === null ? "" : `?after=${after}`}`,
};

export const agents = { list: () => get("/agents") };

function get(path, query = {}) {
  const text = new URLSearchParams(compact(query)).toString();
  return request("GET", text ? `${path}?${text}` : path);
}

function send(method, path, body) {
  return request(method, path, body);
}

async function request(method, path, body) {
  try {
    return await attempt(method, path, body);
  } catch (error) {
    if (error.status !== 401) throw error;
    await newVisitor();
    visitor.dispatchEvent(new Event("replaced"));
    return attempt(method, path, body);
  }
}

async function attempt(method, path, body) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  let text;
  try {
    response = await fetch(BASE + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
    });
    text = await response.text();
  } catch {
    throw new ApiError({ code: "unreachable", message: "The server cannot be reached. Check the connection and try again." });
  }
  const envelope = parsed(text);
  if (response.ok && envelope && "data" in envelope) return envelope.data;
  const problem = envelope?.error ?? {};
  throw new ApiError({
    code: problem.error_code ?? "unexpected_answer",
    message: problem.error_message ?? `The server gave an answer this page does not understand (HTTP ${response.status}).`,
    status: response.status,
    details: problem.details,
    requestId: problem.request_id ?? response.headers.get("X-Request-ID"),
    retryAfter: seconds(response.headers.get("Retry-After")),
  });
}

// Calls that meet a 401 at the same time share one new visitor.
let pendingVisitor = null;

function newVisitor() {
  pendingVisitor ??= attempt("POST", "/visitors")
    .then((visitor) => remember(visitor.expires_at))
    .finally(() => (pendingVisitor = null));
  return pendingVisitor;
}

function remembered() {
  try {
    return localStorage.getItem(VISITOR_KEY);
  } catch {
    return null;
  }
}

function remember(until) {
  try {
    localStorage.setItem(VISITOR_KEY, until);
  } catch {
    // Storage is off: the page asks for the visitor again on the next load, and gets the same one.
  }
}

function compact(fields) {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null && value !== ""));
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function plain(problem) {
  return typeof problem === "string" ? problem : JSON.stringify(problem);
}

function seconds(header) {
  const value = Number.parseInt(header ?? "", 10);
  return Number.isFinite(value) && value > 0 ? value : null;
}

function duration(inSeconds) {
  if (inSeconds < 90) return `${inSeconds} second${inSeconds === 1 ? "" : "s"}`;
  return `${Math.ceil(inSeconds / 60)} minutes`;
}
