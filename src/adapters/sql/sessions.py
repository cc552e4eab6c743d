"""Queries about sessions, straight from their table."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from sqlalchemy import and_, func, not_, select
from sqlalchemy.sql.elements import ColumnElement

from adapters.sql.engine import Database
from adapters.sql.tables import sessions
from application.documents import page_document, session_document
from application.ports.persistence import Document
from application.ports.queries import Page
from application.ports.runtime import Now
from domain.errors import NotFound
from domain.identity import Principal
from domain.sessions import OWN, Session


class SqlSessionReader:
    """See application.ports.queries.SessionReader."""

    def __init__(self, database: Database, now: Now) -> None:
        self._database = database
        self._now = now

    def session(self, session_id: UUID, principal: Principal) -> Document:
        with self._database.glancing() as connection:
            found = connection.execute(select(sessions).where(sessions.c.id == session_id)).one_or_none()
        if found is None:
            raise NotFound("session", session_id)
        session = cast(Session, found)
        principal.authorise(session, "session")
        return session_document(session, self._now())

    def own(self, principal: Principal) -> Document | None:
        mine = select(sessions).where(sessions.c.owner == principal.key, sessions.c.binding == OWN)
        with self._database.glancing() as connection:
            newest = mine.order_by(sessions.c.created_at.desc(), sessions.c.id.desc()).limit(1)
            unclosed = connection.execute(mine.where(sessions.c.closed_at.is_(None))).one_or_none()
            found = unclosed or connection.execute(newest).one_or_none()
        return session_document(cast(Session, found), self._now()) if found is not None else None

    def sessions(self, principal: Principal, *, is_open: bool | None, page: Page) -> Document:
        now = self._now()
        those: ColumnElement[Any] = sessions.c.owner == principal.key
        if is_open is not None:
            opened = and_(sessions.c.closed_at.is_(None), sessions.c.expires_at > now)
            those = and_(those, opened if is_open else not_(opened))
        newest = select(sessions).where(those).order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
        with self._database.reading() as connection:
            total = connection.execute(select(func.count()).select_from(sessions).where(those)).scalar_one()
            found = connection.execute(newest.limit(page.limit).offset(page.offset)).all()
        items = [session_document(cast(Session, row), now) for row in found]
        return page_document(items, total=total, limit=page.limit, offset=page.offset)
