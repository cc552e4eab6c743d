"""Queries from the read models: documents are handed out as they are stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from uuid import UUID

from pymongo import ASCENDING, DESCENDING
from pymongo.collection import Collection

from adapters.mongo.read_models import as_it_was
from adapters.mongo.server import MongoServer
from adapters.mongo.words import condition_for
from adapters.words import snippet
from application.documents import page_document
from application.ports.persistence import Document
from application.ports.projections import Model
from application.ports.queries import MessagePage, Page
from domain.errors import NotFound
from domain.identity import Principal

_ROOM_KEYS = {"last_activity_at": "last_activity_at", "created_at": "created_at", "name": "name_key"}
_CONVERSATION_KEYS = {"last_activity_at": "last_activity_at", "created_at": "created_at", "title": "title_key"}

_DOCUMENT = {"_id": False, "document": True}
_ACCESS = {"_id": False, "owner": True, "hidden": True}


class MongoReader:
    """See application.ports.queries.Reader. `replies` answers `reply`: a live one changes too often to project."""

    def __init__(self, server: MongoServer, replies: Callable[[UUID, Principal], Document]) -> None:
        self._server = server
        self._rooms = server.database[Model.ROOMS.value]
        self._conversations = server.database[Model.CONVERSATIONS.value]
        self._messages = server.database[Model.MESSAGES.value]
        self._replies = replies

    def rooms(self, principal: Principal, page: Page) -> Document:
        mine = {"owner": principal.key, "hidden": False}
        return self._page(self._rooms, mine, page, _ROOM_KEYS, _plain)

    def room(self, room_id: UUID, principal: Principal) -> Document:
        return _plain(self._one(self._rooms, "room", room_id, principal, _DOCUMENT))

    def room_history(self, room_id: UUID, principal: Principal, page: MessagePage) -> Document:
        room = self._one(self._rooms, "room", room_id, principal, {"document.message_count": True})
        of_room = {"room_id": str(room_id)}
        with self._server.translated():
            shown = of_room | {"hidden": False} | self._not_in_deleted(of_room)
            order = DESCENDING if page.descending else ASCENDING
            found = list(
                self._messages.find(shown, _DOCUMENT)
                .sort([("created_at", order), ("conversation_id", order), ("position", order)])
                .skip(page.offset or 0)
                .limit(page.limit)
            )
        items = [_plain(stored) for stored in found]
        total = room["document"]["message_count"]
        return page_document(items, total=total, limit=page.limit, offset=page.offset or 0)

    def conversations(self, principal: Principal, room_id: UUID | None, page: Page) -> Document:
        those: Document = {"owner": principal.key, "hidden": False}
        if room_id is not None:
            self._one(self._rooms, "room", room_id, principal, {})
            those = {"room_id": str(room_id), "hidden": False}
        return self._page(self._conversations, those, page, _CONVERSATION_KEYS, _plain)

    def conversation(self, conversation_id: UUID, principal: Principal) -> Document:
        return _plain(self._one(self._conversations, "conversation", conversation_id, principal, _DOCUMENT))

    def conversation_called(self, external_id: str, principal: Principal) -> Document:
        wanted = {"owner": principal.key, "external_id": external_id, "hidden": False}
        with self._server.translated():
            found = self._conversations.find_one(wanted, _DOCUMENT)
        if found is None:
            raise NotFound("conversation", external_id)
        return _plain(found)

    def messages(self, conversation_id: UUID, principal: Principal, page: MessagePage) -> Document:
        wanted: Document = {"conversation_id": str(conversation_id), "hidden": False}
        bounds = {"$gt": page.after, "$lt": page.before}
        if given := {name: bound for name, bound in bounds.items() if bound is not None}:
            wanted["position"] = given
        # From which side the page is taken, and in which order it is handed out, are two things.
        by_cursor = page.after is None or page.before is not None
        from_the_end = by_cursor if page.offset is None else page.descending
        # The conversation and its page come in one round trip, each message as a result of its own: together
        # they may be larger than the 16 MB of one document.
        pipeline: list[Document] = [
            {"$match": {"_id": str(conversation_id)}},
            {"$project": _ACCESS | {"message_count": True}},
            {
                "$unionWith": {
                    "coll": self._messages.name,
                    "pipeline": [
                        {"$match": wanted},
                        {"$sort": {"position": DESCENDING if from_the_end else ASCENDING}},
                        {"$skip": page.offset or 0},
                        {"$limit": page.limit},
                        {"$replaceWith": "$document"},
                    ],
                }
            },
        ]
        with self._server.translated():
            results = list(self._conversations.aggregate(pipeline))
        found = next((result for result in results if "owner" in result), None)
        conversation = _authorised(found, "conversation", conversation_id, principal)
        items = [as_it_was(result) for result in results if result is not conversation]
        items.sort(key=itemgetter("position"), reverse=page.descending)  # A union promises no order.
        document = page_document(items, total=conversation["message_count"], limit=page.limit, offset=page.offset or 0)
        if page.offset is None:
            document["offset"] = None
        return document

    def versions(self, message_id: UUID, principal: Principal, page: Page) -> Document:
        place = {"conversation_id": True, "position": True, "document.parent_id": True}
        with self._server.translated():
            message = self._messages.find_one({"_id": str(message_id)}, _ACCESS | place)
            if message is None or not message["owner"]:
                raise NotFound("message", message_id)
            conversation = self._conversations.find_one({"_id": message["conversation_id"]}, _ACCESS)
            _authorised(conversation, "message", message_id, principal)
            those = self._versions_of(message)
            versions = list(
                self._messages.find(those, _DOCUMENT | {"hidden": True})
                .sort("document.version", ASCENDING)
                .skip(page.offset)
                .limit(page.limit)
            )
            total = self._total(self._messages, those, page, len(versions))
        items = [_plain(stored) | {"is_current": not stored["hidden"]} for stored in versions]
        return page_document(items, total=total, limit=page.limit, offset=page.offset)

    def reply(self, reply_id: UUID, principal: Principal) -> Document:
        return self._replies(reply_id, principal)

    def search(self, principal: Principal, query: str, page: Page) -> Document:
        words = condition_for(query)
        if words is None:
            return page_document([], total=0, limit=page.limit, offset=page.offset)
        title = {"_id": False, "id": "$document.id", "title": "$document.title", "room_id": "$document.room_id"}
        with self._server.translated():
            mine = {"owner": principal.key, "hidden": False}
            matching = mine | {"words": words} | self._not_in_deleted({"owner": principal.key})
            found = list(
                self._messages.aggregate(
                    [
                        {"$match": matching},
                        {"$sort": {"created_at": DESCENDING, "_id": DESCENDING}},
                        {"$skip": page.offset},
                        {"$limit": page.limit},
                        {
                            "$lookup": {
                                "from": self._conversations.name,
                                "localField": "conversation_id",
                                "foreignField": "_id",
                                "pipeline": [{"$project": title}],
                                "as": "conversation",
                            }
                        },
                        {"$unwind": "$conversation"},
                        {"$project": _DOCUMENT | {"conversation": True}},
                    ]
                )
            )
            total = self._total(self._messages, matching, page, len(found))
        items = [
            {
                "message": _plain(stored),
                "conversation": stored["conversation"],
                "snippet": snippet(stored["document"]["content"], query),
            }
            for stored in found
        ]
        return page_document(items, total=total, limit=page.limit, offset=page.offset)

    def _one(
        self, collection: Collection[Document], kind: str, wanted: UUID, principal: Principal, fields: Document
    ) -> Document:
        with self._server.translated():
            found = collection.find_one({"_id": str(wanted)}, _ACCESS | fields)
        return _authorised(found, kind, wanted, principal)

    def _page(
        self,
        collection: Collection[Document],
        those: Document,
        page: Page,
        keys: Mapping[str, str],
        shown: Callable[[Document], Document],
    ) -> Document:
        """One page, in an order that no two things share."""
        order = DESCENDING if page.descending else ASCENDING
        by = [(keys[page.sort_by], order), ("_id", order)]
        with self._server.translated():
            found = list(
                collection.find(those, {"owner": True, "deleted_at": True, "document": True})
                .sort(by)
                .skip(page.offset)
                .limit(page.limit)
            )
            total = self._total(collection, those, page, len(found))
        items = [shown(stored) for stored in found]
        return page_document(items, total=total, limit=page.limit, offset=page.offset)

    def _total(self, collection: Collection[Document], those: Document, page: Page, found: int) -> int:
        """How many there are in all; the last page, which is often the only one, tells it without counting."""
        if found < page.limit and (found or not page.offset):
            return page.offset + found
        return collection.count_documents(those)

    def _versions_of(self, message: Document) -> Document:
        """What follows the same message, see adapters.sql.branches.versions_of."""
        of_conversation = {"conversation_id": message["conversation_id"]}
        before = of_conversation | {"hidden": False, "position": message["position"] - 1}
        found = self._messages.find_one(before, {"_id": True})
        current = found["_id"] if found is not None else None
        parent = message["document"]["parent_id"] if message["hidden"] else None
        follows: Document = {"document.parent_id": parent}
        if parent is None or parent == current:
            follows = {"$or": [{"document.parent_id": {"$in": [current, None]}}, {"hidden": False}]}
        # Whether they are hidden is of no interest here, but the index goes by it.
        return of_conversation | {"hidden": {"$in": [False, True]}, "position": message["position"]} | follows

    def _not_in_deleted(self, those: Document) -> Document:
        """What keeps out messages of deleted conversations, which are not marked themselves. There are rarely any."""
        deleted = self._conversations.find(those | {"hidden": True}, {"_id": True})
        ids = [conversation["_id"] for conversation in deleted]
        return {"conversation_id": {"$nin": ids}} if ids else {}


@dataclass(frozen=True, slots=True)
class _Owned:
    owner: str


def _authorised(found: Document | None, kind: str, wanted: UUID, principal: Principal) -> Document:
    if found is None or not found["owner"]:  # What was purged is nobody's.
        raise NotFound(kind, wanted)
    principal.authorise(_Owned(found["owner"]), kind)
    if found["hidden"]:
        raise NotFound(kind, wanted)
    return found


def _plain(stored: Document) -> Document:
    return as_it_was(stored["document"])
