"""The read models as projections write them: a collection a model, a document a thing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import pymongo
from pymongo import ASCENDING, IndexModel, ReplaceOne
from pymongo.errors import BulkWriteError

from adapters.mongo.server import MongoServer
from adapters.mongo.words import words_to_store
from application.ports.persistence import Document
from application.ports.projections import Model, ReadModelsUnavailable, Snapshot

SHAPE = 4
"""What stored documents look like. A change of it, also of how words are stored, makes a rebuild necessary."""

_OURS = ("_id", "version", "shape", "owner", "hidden", "document", "words")
"""Names in a stored document; whatever else is there are the snapshot's keys."""

PRESENT: Document = {"buried_at": None}
"""What is there; see `tombstone`."""

_GRAVES = IndexModel("buried_at", expireAfterSeconds=600, partialFilterExpression={"buried_at": {"$exists": True}})
"""Longer than anybody takes between reading a snapshot and saving it."""

_DUPLICATE_KEY = 11000

_INDEX_BUILD = 3_600
"""Seconds that building the indexes of a full store may take."""

_STATE = {"_id": "read_models"}

_NEVER_COMPLETED = "The read models do not hold everything yet. Run: parley projections rebuild"
_OLDER = "The read models were written by an older version of Parley. Run: parley projections rebuild"
_NEWER = (
    "The read models were written by a newer version of Parley. Run that version, "
    "or drop the MongoDB database and run: parley projections rebuild"
)

# Lists are found and sorted by one index each; the ids at the end make the order one that no two things share.
_ROOM_ORDERS = ("last_activity_at", "created_at", "name_key")
_CONVERSATION_ORDERS = ("last_activity_at", "created_at", "title_key")
_INDEXES: Mapping[Model, Sequence[tuple[str, ...]]] = {
    Model.ROOMS: [("owner", "hidden", key, "_id") for key in _ROOM_ORDERS],
    Model.CONVERSATIONS: [
        *(("owner", "hidden", key, "_id") for key in _CONVERSATION_ORDERS),
        *(("room_id", "hidden", key, "_id") for key in _CONVERSATION_ORDERS),
        ("owner", "external_id"),
    ],
    Model.MESSAGES: [
        ("conversation_id", "hidden", "position"),
        ("room_id", "hidden", "created_at", "conversation_id", "position"),
        ("owner", "words"),
        ("owner", "created_at"),
    ],
}


class MongoReadModels:
    """See application.ports.projections.ReadModels."""

    def __init__(self, server: MongoServer) -> None:
        self._server = server
        self._collections = {model: server.database[model.value] for model in Model}
        self._meta = server.database["meta"]

    def save(self, snapshots: Sequence[Snapshot]) -> None:
        # In the order of the models, so that nothing is there before what it is part of.
        for model in Model:
            if those := [snapshot for snapshot in snapshots if snapshot.model is model]:
                with self._server.translated():
                    self._save(model, those)

    def of(self, model: Model, ids: Collection[UUID]) -> Sequence[Snapshot]:
        with self._server.translated():
            return [
                _snapshot(model, stored)
                for stored in self._collections[model].find({"_id": {"$in": _strings(ids)}} | PRESENT)
            ]

    def holds(self, model: Model, thing: UUID) -> bool:
        with self._server.translated():
            return self._collections[model].find_one({"_id": str(thing)} | PRESENT, {"_id": True}) is not None

    def ids_after(self, model: Model, after: UUID | None, *, limit: int) -> Sequence[UUID]:
        wanted = PRESENT | ({"_id": {"$gt": str(after)}} if after is not None else {})
        with self._server.translated():
            found = self._collections[model].find(wanted, {"_id": True}).sort("_id", ASCENDING).limit(limit)
            return [UUID(stored["_id"]) for stored in found]

    def remove(self, model: Model, ids: Collection[UUID]) -> None:
        if ids:
            with self._server.translated():
                self._collections[model].delete_many({"_id": {"$in": _strings(ids)}})

    def prepare(self) -> None:
        self._refuse_newer()
        with pymongo.timeout(_INDEX_BUILD), self._server.translated():
            for model, indexes in _INDEXES.items():
                self._collections[model].create_indexes(
                    [*(IndexModel([(key, ASCENDING) for key in keys]) for keys in indexes), _GRAVES]
                )

    @property
    def progress(self) -> Mapping[str, str]:
        left = self._state().get("progress", {})
        # What was done in another shape has to be done again.
        return left["done"] if left.get("shape") == SHAPE else {}

    def note_progress(self, progress: Mapping[str, str]) -> None:
        with self._server.translated():
            self._meta.update_one(_STATE, {"$set": {"progress": {"shape": SHAPE, "done": dict(progress)}}}, upsert=True)

    def complete(self) -> None:
        self._refuse_newer()
        with self._server.translated():
            self._meta.update_one(_STATE, {"$set": {"complete": SHAPE}, "$unset": {"progress": True}}, upsert=True)

    def declare_incomplete(self) -> None:
        with self._server.translated():
            self._meta.update_one(_STATE, {"$unset": {"complete": True, "progress": True}})

    def check(self) -> None:
        complete = self._refuse_newer()
        if complete != SHAPE:
            raise ReadModelsUnavailable(_NEVER_COMPLETED if complete is None else _OLDER)

    def _state(self) -> Document:
        with self._server.translated():
            return self._meta.find_one(_STATE) or {}

    def _refuse_newer(self) -> int | None:
        """The shape in which everything was last saved, None if it never was; raises for one that is not known here."""
        complete: int | None = self._state().get("complete")
        if complete is not None and complete > SHAPE:
            raise ReadModelsUnavailable(_NEWER)
        return complete

    def _save(self, model: Model, snapshots: Sequence[Snapshot]) -> None:
        """Where a document is not to be replaced, its upsert finds none to update and fails on the one that is there.

        It fails so too when somebody else adds the document at the same moment: hence the second try.
        """
        left = self._tried(model, self._tried(model, snapshots))
        if not left:
            return
        newer_shapes = {
            stored["_id"]: stored["version"]
            for stored in self._collections[model].find(
                {"_id": {"$in": _strings(snapshot.id for snapshot in left)}, "shape": {"$gt": SHAPE}}, {"version": True}
            )
        }
        # A newer version of Parley writes here already. It has to be told what it does not know yet, from the outbox.
        if any(newer_shapes.get(str(snapshot.id), snapshot.version) < snapshot.version for snapshot in left):
            raise ReadModelsUnavailable(_NEWER)

    def _tried(self, model: Model, snapshots: Sequence[Snapshot]) -> Sequence[Snapshot]:
        """Those that are not saved because of a document that is there."""
        if not snapshots:
            return ()
        try:
            self._collections[model].bulk_write(
                [
                    ReplaceOne(
                        {
                            "_id": str(snapshot.id),
                            "shape": {"$lte": SHAPE},
                            "$or": [{"version": {"$lt": snapshot.version}}, {"shape": {"$lt": SHAPE}}],
                        },
                        _stored(snapshot),
                        upsert=True,
                    )
                    for snapshot in snapshots
                ],
                ordered=False,
            )
        except BulkWriteError as failure:
            errors = failure.details["writeErrors"]
            if failure.details["writeConcernErrors"] or any(error["code"] != _DUPLICATE_KEY for error in errors):
                raise
            return [snapshots[error["index"]] for error in errors]
        return ()


def tombstone(thing: UUID, now: datetime) -> Document:
    """What stands in a purged thing's place for a while: newer than any snapshot, so that none comes back late.

    It belongs to nobody, and holds nothing; no query finds it.
    """
    return {"_id": str(thing), "version": 2**62, "shape": SHAPE, "owner": "", "hidden": None, "buried_at": now}


def as_it_was(document: Document) -> Document:
    """A stored document in JSON values again; the argument is changed."""
    if type(document["metadata"]) is bytes:
        document["metadata"] = orjson.loads(document["metadata"])
    for call in document.get("tool_calls", ()):
        if type(call["arguments"]) is bytes:
            call["arguments"] = orjson.loads(call["arguments"])
    return document


def _stored(snapshot: Snapshot) -> Document:
    document = snapshot.document
    if not _survives(document["metadata"]):
        document = document | {"metadata": orjson.dumps(document["metadata"])}
    if not _survives(calls := document.get("tool_calls", ())):
        packed = [call | {"arguments": orjson.dumps(call["arguments"])} for call in calls]
        document = document | {"tool_calls": packed}
    stored = {
        "_id": str(snapshot.id),
        "version": snapshot.version,
        "shape": SHAPE,
        "owner": snapshot.owner,
        "hidden": snapshot.hidden,
        **snapshot.keys,
        "document": document,
    }
    if snapshot.model is Model.MESSAGES:
        stored["words"] = words_to_store(document["content"])
    return stored


def _snapshot(model: Model, stored: Document) -> Snapshot:
    return Snapshot(
        model=model,
        id=UUID(stored["_id"]),
        version=stored["version"],
        owner=stored["owner"],
        hidden=stored["hidden"],
        document=as_it_was(stored["document"]),
        keys={name: value for name, value in stored.items() if name not in _OURS} | _flaws(model, stored),
    )


def _flaws(model: Model, stored: Document) -> Document:
    """What only this store knows of, and would make queries miss the document."""
    flaws = {}
    if stored.get("shape") != SHAPE:
        flaws["shape"] = stored.get("shape")
    if model is Model.MESSAGES and stored.get("words") != words_to_store(stored["document"].get("content", "")):
        flaws["words"] = "not those of the content"
    return flaws


def _survives(value: Any) -> bool:
    """Whether BSON gives anybody's JSON back as it was.

    Not so numbers of 64 bits without a sign; names with a "$" may mean something to the driver ($ref) or the server.
    """
    match value:
        case int():
            return value < 2**63
        case dict():
            return all(
                not name.startswith("$") and "\x00" not in name and _survives(inner) for name, inner in value.items()
            )
        case list():
            return all(map(_survives, value))
        case _:
            return True


def _strings(ids: Iterable[UUID]) -> list[str]:
    return [str(id_) for id_ in ids]
