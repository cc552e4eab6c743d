"""The read models follow what was purged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

from pymongo import ReplaceOne

from adapters.mongo.read_models import PRESENT, tombstone
from adapters.mongo.server import MongoServer
from application.ports.projections import Model
from application.ports.retention import Kind, Present, Purge, Remnant, Tally

_KINDS = {Model.ROOMS: Kind.ROOMS, Model.CONVERSATIONS: Kind.CONVERSATIONS, Model.MESSAGES: Kind.MESSAGES}

_MANY = 1000


class MongoCopies:
    """See application.ports.retention.Copies. A tombstone stands in a document's place for ten minutes."""

    name = "MongoDB"

    def __init__(self, server: MongoServer) -> None:
        self._server = server
        self._collections = {model: server.database[model.value] for model in Model}

    def forget(self, purges: Sequence[Purge]) -> Tally:
        tally: dict[str, int] = {}
        now = datetime.now(UTC)
        for model, kind in _KINDS.items():
            for ids in _batches(purges, kind):
                with self._server.translated():
                    present = self._collections[model].count_documents({"_id": {"$in": [*map(str, ids)]}} | PRESENT)
                    self._collections[model].bulk_write(
                        [ReplaceOne({"_id": str(id_)}, tombstone(id_, now), upsert=True) for id_ in ids], ordered=False
                    )
                if present:
                    tally[kind] = tally.get(kind, 0) + present
        return tally

    def remnants(self, purges: Sequence[Purge]) -> Iterator[Remnant]:
        for model, kind in _KINDS.items():
            for ids in _batches(purges, kind):
                with self._server.translated():
                    found = self._collections[model].find({"_id": {"$in": [*map(str, ids)]}} | PRESENT, {"_id": True})
                    left = [stored["_id"] for stored in found]
                for id_ in left:
                    yield Remnant(self.name, f"{model} {id_}", "was purged")

    def orphans(self, present: Present) -> Iterator[Remnant]:
        for model, kind in _KINDS.items():
            after = ""
            while page := self._page(model, after):
                after = page[-1]
                ids = {text: _uuid(text) for text in page}
                known = present(kind, {id_ for id_ in ids.values() if id_ is not None})
                unknown = [text for text, id_ in ids.items() if id_ not in known]
                # It may have been purged between the two looks.
                with self._server.translated():
                    found = self._collections[model].find({"_id": {"$in": unknown}} | PRESENT, {"_id": True})
                    left = [stored["_id"] for stored in found] if unknown else []
                for id_ in left:
                    yield Remnant(self.name, f"{model} {id_}", "is not in the database")

    def _page(self, model: Model, after: str) -> list[str]:
        with self._server.translated():
            wanted = {"_id": {"$gt": after}} | PRESENT
            found = self._collections[model].find(wanted, {"_id": True}).sort("_id", 1).limit(_MANY)
            return [stored["_id"] for stored in found]


def _batches(purges: Sequence[Purge], kind: Kind) -> Iterator[Sequence[UUID]]:
    ids = [id_ for purge in purges for id_ in purge.ids.get(kind, ())]
    for start in range(0, len(ids), _MANY):
        yield ids[start : start + _MANY]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
