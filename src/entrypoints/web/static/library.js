// My rooms and conversations, as far as the page has read them. Every change is announced by a
// "change" event; whoever draws them only reads.

import * as api from "./api.js";

export class Library extends EventTarget {
  rooms = new Map();
  conversations = new Map();
  loaded = false;
  // What was read of each list: "all" or a room's id → { offset, total }.
  #lists = new Map();

  async load() {
    const [rooms, first] = await Promise.all([api.rooms.list(), api.conversations.list()]);
    this.rooms = new Map(rooms.items.map((room) => [room.id, room]));
    // A complete first page says what no longer exists; of a longer list, only what was read is new.
    if (first.total <= first.items.length) this.conversations.clear();
    this.#take("all", first, 0);
    this.loaded = true;
    this.#changed();
  }

  async loadRoom(roomId) {
    const page = await api.conversations.list({ roomId });
    this.#take(roomId, page, 0);
    this.#changed();
  }

  async loadMore(roomId = null) {
    const key = roomId ?? "all";
    const shown = this.conversationsOf(roomId).length;
    // A page of all conversations may hold only those of rooms: read on until one is to be seen.
    do {
      const { offset } = this.#lists.get(key);
      this.#take(key, await api.conversations.list({ roomId, offset }), offset);
    } while (this.hasMore(roomId) && this.conversationsOf(roomId).length === shown);
    this.#changed();
  }

  hasMore(roomId = null) {
    const list = this.#lists.get(roomId ?? "all");
    return Boolean(list) && list.offset < list.total;
  }

  roomsInOrder() {
    return [...this.rooms.values()].sort(byActivity);
  }

  /** The conversations of a room, or with null those without one, the latest first. */
  conversationsOf(roomId) {
    return [...this.conversations.values()].filter((one) => (one.room_id ?? null) === roomId).sort(byActivity);
  }

  async createRoom(name) {
    return this.putRoom(await api.rooms.create(name));
  }

  async renameRoom(id, name) {
    this.putRoom(await api.rooms.rename(id, name));
  }

  async deleteRoom(id) {
    await api.rooms.delete(id);
    this.rooms.delete(id);
    for (const one of this.conversationsOf(id)) this.conversations.delete(one.id);
    this.#lists.delete(id);
    this.#changed();
  }

  async restoreRoom(id) {
    this.putRoom(await api.rooms.restore(id));
    await this.loadRoom(id);
  }

  async createConversation({ roomId, agent }) {
    const conversation = this.put(await api.conversations.create({ roomId, agent }));
    this.#shift(roomId, 1);
    if (roomId) this.#refreshRoom(roomId);
    return conversation;
  }

  async renameConversation(id, title) {
    this.put(await api.conversations.rename(id, title));
  }

  async setAgent(id, agent) {
    this.put(await api.conversations.setAgent(id, agent));
  }

  async deleteConversation(id) {
    const roomId = this.conversations.get(id)?.room_id;
    await api.conversations.delete(id);
    this.conversations.delete(id);
    this.#shift(roomId, -1);
    this.#changed();
    if (roomId) this.#refreshRoom(roomId);
  }

  async restoreConversation(id) {
    const conversation = this.put(await api.conversations.restore(id));
    this.#shift(conversation.room_id, 1);
    if (conversation.room_id) this.#refreshRoom(conversation.room_id);
  }

  async refresh(id) {
    return this.put(await api.conversations.get(id));
  }

  put(conversation) {
    this.conversations.set(conversation.id, conversation);
    this.#changed();
    return conversation;
  }

  putRoom(room) {
    this.rooms.set(room.id, room);
    this.#changed();
    return room;
  }

  /** Forgets what the server says is not there. */
  drop(id) {
    if (this.conversations.delete(id)) this.#changed();
  }

  async #refreshRoom(id) {
    try {
      this.putRoom(await api.rooms.get(id));
    } catch {
      // Only its count would have changed; the next load has it.
    }
  }

  #take(key, page, offset) {
    for (const one of page.items) this.conversations.set(one.id, one);
    const end = offset + page.items.length;
    this.#lists.set(key, { offset: end, total: page.items.length ? page.total : end });
  }

  // One came or went before what is still unread, which moves along.
  #shift(roomId, by) {
    for (const list of [this.#lists.get("all"), this.#lists.get(roomId)]) {
      if (list) Object.assign(list, { offset: list.offset + by, total: list.total + by });
    }
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

function byActivity(one, other) {
  return Date.parse(other.last_activity_at) - Date.parse(one.last_activity_at) || (one.id < other.id ? 1 : -1);
}
