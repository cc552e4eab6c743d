"""Purges, and the ledger of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence, Set
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, Table, and_, delete, func, insert, or_, select, true, update
from sqlalchemy.sql.elements import ColumnElement

from adapters.sql.engine import Database
from adapters.sql.knowledge_tables import (
    document_contents,
    documents,
    job_analyses,
    job_analysis_files,
    jobs,
    passage_vectors,
    passages,
    projects,
)
from adapters.sql.tables import (
    conversations,
    deletions,
    idempotency_keys,
    messages,
    purges,
    replies,
    rooms,
    sessions,
    transcripts,
    visitors,
)
from adapters.sql.wiping import Wiping, batches
from application.ports.retention import Kind, Purge, Standing, Tally, Wiped
from domain.identity import PrincipalKind
from domain.knowledge import Visibility, numbered_key
from domain.replies import LIVE

_MANY = 1000
"""Ids that one statement asks for."""

_TABLES: dict[Kind, Table] = {
    Kind.ROOMS: rooms,
    Kind.CONVERSATIONS: conversations,
    Kind.MESSAGES: messages,
    Kind.REPLIES: replies,
    Kind.PROJECTS: projects,
    Kind.DOCUMENTS: documents,
    Kind.JOB_ANALYSES: job_analyses,
    Kind.JOBS: jobs,
}

_OWNED: dict[str, Table] = {
    "rooms": rooms,
    "conversations": conversations,
    "messages": messages,
    "replies": replies,
    "sessions": sessions,
    "projects": projects,
    "documents": documents,
    "job_analyses": job_analyses,
    "jobs": jobs,
    "deletions": deletions,
    "transcripts": transcripts,
    "idempotency_keys": idempotency_keys,
}
"""What belongs to one principal."""

_OF_A_PERSON = ("sessions", "transcripts", "idempotency_keys", "deletions", "jobs")
"""What of it is removed by its owner; all else goes with the thing that it belongs to."""


class SqlPurges:
    """See application.ports.retention.Purges."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def standing(
        self, *, deleted_before: datetime | None, owner: str | None = None, after: UUID | None = None, limit: int
    ) -> Sequence[Standing]:
        wanted = select(deletions).where(deletions.c.restored_at.is_(None)).order_by(deletions.c.id).limit(limit)
        if deleted_before is not None:
            is_due = or_(deletions.c.deleted_at <= deleted_before, deletions.c.purging_since.is_not(None))
            wanted = wanted.where(is_due)
        if owner is not None:
            wanted = wanted.where(deletions.c.owner == owner)
        if after is not None:
            wanted = wanted.where(deletions.c.id > after)
        with self._database.reading() as connection:
            rows = connection.execute(wanted).all()
        return [Standing(row.id, row.subject, row.subject_id, row.deleted_at) for row in rows]

    def live_replies(self, deletion: Standing) -> Sequence[UUID]:
        spoken_in = or_(conversations.c.id == deletion.subject_id, conversations.c.room_id == deletion.subject_id)
        wanted = select(replies.c.id).join_from(replies, conversations).where(spoken_in, replies.c.status.in_(LIVE))
        with self._database.reading() as connection:
            return connection.execute(wanted).scalars().all()

    def wipe(self, deletion: Standing, *, limit: int, now: datetime, answers_after: datetime) -> Wiped:
        with self._database.writing() as connection:
            wanted = select(deletions.c.purging_since).where(deletions.c.id == deletion.deletion_id).with_for_update()
            begun = connection.execute(wanted).one_or_none()
            if begun is None or begun.purging_since is None:  # Somebody else has done it.
                return Wiped({}, True)
            wiping = Wiping(connection, limit, now)
            is_last = wiping.thing(deletion.subject, deletion.subject_id)
            if is_last:
                connection.execute(delete(deletions).where(deletions.c.id == deletion.deletion_id))
            wiping.forget_events()
            if deletion.deleted_at > answers_after:
                wiping.forget_answers()
            _note(connection, wiping, now)
            connection.commit()
        return Wiped(dict(wiping.tally), is_last)

    def wipe_person(self, owner: str, *, limit: int, now: datetime) -> Wiped:
        tally: Counter[str] = Counter()
        kind, _, name = owner.partition(":")
        with self._database.writing() as connection:
            for what in _OF_A_PERSON:
                table = _OWNED[what]
                key = list(table.primary_key)
                some = select(*key).where(table.c.owner == owner).limit(limit)
                found = connection.execute(some).all()
                for row in found:
                    connection.execute(
                        delete(table).where(*(column == value for column, value in zip(key, row, strict=True)))
                    )
                tally[what] += len(found)
            tally["visitors"] += connection.execute(delete(visitors).where(visitors.c.claimed_by == owner)).rowcount
            if kind == PrincipalKind.VISITOR and (visitor_id := _uuid(name)) is not None:
                tally["visitors"] += connection.execute(delete(visitors).where(visitors.c.id == visitor_id)).rowcount
            connection.commit()
        return Wiped({what: count for what, count in tally.items() if count}, max(tally.values()) < limit)

    def adopt(self, owner: str, by: str, now: datetime) -> int:
        with self._database.writing() as connection:
            self._database.take_turns(connection, f"projects of {by}")
            found = connection.execute(
                select(projects.c.id, projects.c.key).where(_adoptable(owner)).with_for_update()
            ).all()
            for project_id, key in found:
                taken = set(
                    connection.execute(
                        select(projects.c.key).where(projects.c.owner == by, projects.c.deletion_id.is_(None))
                    ).scalars()
                )
                number = 1
                free = key
                while free in taken:
                    number += 1
                    free = numbered_key(key, number)
                theirs = select(documents.c.id).where(documents.c.project_id == project_id)
                version = projects.c.version + 1
                for changing in (
                    update(jobs).where(jobs.c.subject_id.in_(theirs)).values(owner=by),
                    update(deletions).where(deletions.c.subject_id.in_(theirs)).values(owner=by),
                    update(deletions).where(deletions.c.subject_id == project_id).values(owner=by),
                    update(documents)
                    .where(documents.c.project_id == project_id)
                    .values(owner=by, version=documents.c.version + 1),
                    update(projects)
                    .where(projects.c.id == project_id)
                    .values(owner=by, key=free, version=version, updated_at=now),
                ):
                    connection.execute(changing)
            connection.commit()
        return len(found)

    def mark(self, mark: str, now: datetime) -> None:
        with self._database.at_once() as connection:
            connection.execute(insert(purges).values(ids={}, counts={}, mark=mark, purged_at=now))

    def marks(self, since: datetime) -> Set[str]:
        wanted = select(purges.c.mark).where(purges.c.mark.is_not(None), purges.c.purged_at >= since)
        with self._database.glancing() as connection:
            return set(connection.execute(wanted).scalars())

    def claimed_by(self, owner: str) -> Sequence[UUID]:
        with self._database.glancing() as connection:
            return connection.execute(select(visitors.c.id).where(visitors.c.claimed_by == owner)).scalars().all()

    def undeleted(self, kind: Kind, owner: str) -> Sequence[UUID]:
        table = _TABLES[kind]
        wanted = select(table.c.id).where(table.c.owner == owner, table.c.deletion_id.is_(None)).order_by(table.c.id)
        with self._database.reading() as connection:
            return connection.execute(wanted).scalars().all()

    def holdings(self, owner: str) -> Tally:
        with self._database.reading() as connection:
            counts = {what: _count(connection, table, table.c.owner == owner) for what, table in _OWNED.items()}
            counts["visitors"] = _count(connection, visitors, _is_or_was(owner))
        return {what: count for what, count in counts.items() if count}

    def erasable(self, owner: str) -> Tally:
        kept = select(projects.c.id).where(_adoptable(owner))
        kept_documents = select(documents.c.id).where(documents.c.project_id.in_(kept))
        but = {
            "projects": projects.c.id.not_in(kept),
            "documents": documents.c.project_id.not_in(kept),
            "jobs": jobs.c.subject_id.not_in(kept_documents),
            "deletions": and_(deletions.c.subject_id.not_in(kept), deletions.c.subject_id.not_in(kept_documents)),
        }
        gone = select(documents.c.id).where(documents.c.owner == owner, but["documents"])
        analyses = select(job_analyses.c.id).where(job_analyses.c.owner == owner)
        inside: dict[str, tuple[Table, ColumnElement[bool]]] = {
            "passages": (passages, passages.c.document_id.in_(gone)),
            "vectors": (
                passage_vectors,
                passage_vectors.c.number.in_(select(passages.c.number).where(passages.c.document_id.in_(gone))),
            ),
            "document_contents": (document_contents, document_contents.c.document_id.in_(gone)),
            "job_analysis_files": (job_analysis_files, job_analysis_files.c.analysis_id.in_(analyses)),
            "visitors": (visitors, _is_or_was(owner)),
        }
        with self._database.reading() as connection:
            counts = {
                what: _count(connection, table, and_(table.c.owner == owner, but.get(what, true())))
                for what, table in _OWNED.items()
            }
            counts |= {what: _count(connection, table, those) for what, (table, those) in inside.items()}
        return {what: count for what, count in counts.items() if count}

    def adoptable(self, owner: str) -> int:
        with self._database.glancing() as connection:
            return _count(connection, projects, _adoptable(owner))

    def unsettled(self, *, after: int, limit: int) -> Sequence[Purge]:
        wanted = select(purges).where(purges.c.settled_at.is_(None), purges.c.number > after)
        return self._found(wanted.order_by(purges.c.number).limit(limit))

    def since(self, at: datetime, known: Set[int]) -> Sequence[Purge]:
        wanted = select(purges.c.number).where(purges.c.purged_at >= at)
        with self._database.glancing() as connection:
            news = [number for number in connection.execute(wanted).scalars() if number not in known]
        found: list[Purge] = []
        for start in range(0, len(news), _MANY):
            found += self._found(select(purges).where(purges.c.number.in_(news[start : start + _MANY])))
        return found

    def settle(self, numbers: Collection[int], now: datetime) -> None:
        with self._database.at_once() as connection:
            settling = update(purges).where(purges.c.number.in_(numbers), purges.c.settled_at.is_(None))
            connection.execute(settling.values(settled_at=now))

    def all(self, *, after: int, limit: int) -> Sequence[Purge]:
        return self._found(select(purges).where(purges.c.number > after).order_by(purges.c.number).limit(limit))

    def present(self, kind: Kind, ids: Collection[UUID]) -> Set[UUID]:
        table = _TABLES[kind]
        found: set[UUID] = set()
        with self._database.reading() as connection:
            for some in batches(ids, _MANY):
                found.update(connection.execute(select(table.c.id).where(table.c.id.in_(some))).scalars())
        return found

    def _found(self, wanted: Select[Any]) -> Sequence[Purge]:
        with self._database.glancing() as connection:
            return [_purge(row) for row in connection.execute(wanted)]


def _note(connection: Connection, wiping: Wiping, now: datetime) -> None:
    if wiping.tally:
        ids = {kind.value: those for kind, those in wiping.ids.items() if those}
        connection.execute(insert(purges).values(ids=ids, counts=dict(wiping.tally), purged_at=now))


def _purge(row: Row[Any]) -> Purge:
    ids = {Kind(kind): [UUID(id_) for id_ in those] for kind, those in row.ids.items()}
    return Purge(row.number, row.purged_at, ids, row.mark)


def _count(connection: Connection, table: Table, those: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).select_from(table).where(those)).scalar_one()


def _adoptable(owner: str) -> ColumnElement[bool]:
    return and_(projects.c.owner == owner, projects.c.visibility == Visibility.PUBLIC, projects.c.deletion_id.is_(None))


def _is_or_was(owner: str) -> ColumnElement[bool]:
    """The visitors that an owner is, or was before signing in."""
    kind, _, name = owner.partition(":")
    held = visitors.c.claimed_by == owner
    if kind == PrincipalKind.VISITOR and (visitor_id := _uuid(name)) is not None:
        held = or_(held, visitors.c.id == visitor_id)
    return held


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
