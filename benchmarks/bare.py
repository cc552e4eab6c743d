"""The least that could be done: a bare Flask route, one raw statement on the same file, orjson. No rules, no rights."""

from __future__ import annotations

import os
import sqlite3
import uuid

import orjson
from flask import Flask, Response

app = Flask(__name__)
_database = sqlite3.connect(os.environ["BARE_DATABASE"], check_same_thread=False, isolation_level=None, timeout=5)
_database.row_factory = sqlite3.Row
_database.execute("PRAGMA synchronous=NORMAL")


@app.get("/<conversation>")
def newest(conversation: str) -> Response:
    rows = _database.execute(
        "SELECT id, position, version, role, content, status, agent, sources, error, metadata, created_at "
        "FROM messages WHERE conversation_id = ? ORDER BY position DESC LIMIT 20",
        (conversation.replace("-", ""),),
    ).fetchall()
    return Response(orjson.dumps([dict(row) for row in rows]), mimetype="application/json")


@app.post("/")
def insert() -> Response:
    conversation = uuid.uuid4().hex
    _database.execute(
        "INSERT INTO conversations (id, owner, title, agent, metadata, next_position, message_count, last_activity_at, "
        "created_at, updated_at, version) VALUES (?, 'bare', '', 'general', '{}', 1, 0, "
        "datetime(), datetime(), datetime(), 1)",
        (conversation,),
    )
    return Response(orjson.dumps({"id": conversation}), mimetype="application/json")
