"""Everything that the stores of an installation hold, as raw bytes: what is not in here is nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bson
import psycopg
from psycopg import sql
from pymongo import MongoClient
from redis import Redis


def dumped(settings: Mapping[str, object], folder: Path) -> dict[str, bytes]:
    """By table, collection, key or file."""
    found = {f"file {path.name}": path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    if "PARLEY_DATABASE_URL" in settings:
        found |= _of_postgres(str(settings["PARLEY_DATABASE_URL"]))
    if "PARLEY_MONGO_URL" in settings:
        found |= _of_mongo(str(settings["PARLEY_MONGO_URL"]))
    if "PARLEY_REDIS_URL" in settings:
        found |= _of_redis(str(settings["PARLEY_REDIS_URL"]), str(settings["PARLEY_REDIS_PREFIX"]))
    return found


def places_of(needle: str, dump: Mapping[str, bytes]) -> list[str]:
    """Where a text stands, in letters of either case, or as hexadecimal digits."""
    wanted = [needle.lower().encode(), needle.encode().hex().encode()]
    return [place for place, content in dump.items() if any(each in content.lower() for each in wanted)]


def _of_postgres(url: str) -> dict[str, bytes]:
    found = {}
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (name,) in tables:
            rows = connection.execute(sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(name))).fetchall()
            found[f"table {name}"] = "\n".join(sorted(row[0] for row in rows)).encode(errors="surrogatepass")
    return found


def _of_mongo(url: str) -> dict[str, bytes]:
    client: MongoClient[dict[str, Any]] = MongoClient(url)
    try:
        database = client.get_default_database()
        return {
            f"collection {name}": b"\n".join(bson.encode(each) for each in database[name].find().sort("_id"))
            for name in database.list_collection_names()
        }
    finally:
        client.close()


def _of_redis(url: str, prefix: str) -> dict[str, bytes]:
    client = Redis.from_url(url)
    try:
        found = {}
        for key in client.scan_iter(count=1000):
            ours = prefix.encode() in key or key.startswith(b"rq:")
            if ours:
                found[f"key {key.decode(errors='replace')}"] = key + b" " + _value(client, key)
        return found
    finally:
        client.close()


def _value(client: Any, key: bytes) -> bytes:
    kind = client.type(key).decode()
    readers: dict[str, Any] = {
        "string": client.get,
        "hash": client.hgetall,
        "set": client.smembers,
        "zset": lambda name: client.zrange(name, 0, -1, withscores=True),
        "list": lambda name: client.lrange(name, 0, -1),
        "stream": client.xrange,
    }
    return repr(readers[kind](key)).encode() if kind in readers else b""
