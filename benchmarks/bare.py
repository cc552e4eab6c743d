"""The least that could be done: a bare Flask route, one raw read or insert on the same store, orjson. No rights."""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import psycopg
from flask import Flask, Response
from pymongo import MongoClient

app = Flask(__name__)


def _over_servers() -> tuple[Callable[[str], list[Any]], Callable[[], str]]:
    client: MongoClient[dict[str, Any]] = MongoClient(os.environ["BARE_MONGO"])
    messages = client.get_default_database()["messages"]
    postgres = psycopg.connect(os.environ["BARE_POSTGRES"], autocommit=True)

    def newest(conversation: str) -> list[Any]:
        wanted = {"conversation_id": conversation, "hidden": False}
        found = messages.find(wanted, {"_id": False, "document": True}).sort("position", -1).limit(20)
        return [stored["document"] for stored in found]

    def insert() -> str:
        conversation = uuid.uuid4()
        now = datetime.now(UTC)
        postgres.execute(
            "INSERT INTO conversations (id, owner, title, agent, metadata, next_position, message_count, "
            "last_activity_at, created_at, updated_at, version) "
            "VALUES (%s, 'bare', '', 'general', '{}', 1, 0, %s, %s, %s, 1)",
            (conversation, now, now, now),
        )
        return str(conversation)

    return newest, insert


def _over_sqlite() -> tuple[Callable[[str], list[Any]], Callable[[], str]]:
    database = sqlite3.connect(os.environ["BARE_SQLITE"], check_same_thread=False, isolation_level=None, timeout=5)
    database.row_factory = sqlite3.Row
    database.execute("PRAGMA synchronous=NORMAL")

    def newest(conversation: str) -> list[Any]:
        found = database.execute(
            "SELECT id, position, version, role, content, status, agent, sources, error, metadata, created_at "
            "FROM messages WHERE conversation_id = ? ORDER BY position DESC LIMIT 20",
            (conversation.replace("-", ""),),
        )
        return [dict(row) for row in found]

    def insert() -> str:
        conversation = uuid.uuid4().hex
        database.execute(
            "INSERT INTO conversations (id, owner, title, agent, metadata, next_position, message_count, "
            "last_activity_at, created_at, updated_at, version) VALUES (?, 'bare', '', 'general', '{}', 1, 0, "
            "datetime(), datetime(), datetime(), 1)",
            (conversation,),
        )
        return conversation

    return newest, insert


_newest, _insert = _over_servers() if "BARE_MONGO" in os.environ else _over_sqlite()


@app.get("/<conversation>")
def newest(conversation: str) -> Response:
    return Response(orjson.dumps(_newest(conversation)), mimetype="application/json")


@app.post("/")
def insert() -> Response:
    return Response(orjson.dumps({"id": _insert()}), mimetype="application/json")
