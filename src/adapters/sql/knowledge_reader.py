"""The queries about projects and their documents."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, func, select

from adapters.sql.activity import by_code_point
from adapters.sql.engine import Database
from adapters.sql.knowledge_tables import document_contents, documents, jobs, projects
from adapters.sql.scopes import is_visible, scope
from application.documents import document_of_project, page_document, project_document
from application.knowledge.documents import UNKNOWN_TYPE
from application.ports.knowledge import Scope
from application.ports.persistence import Document
from application.ports.queries import Page
from domain.errors import Forbidden, NotFound
from domain.identity import Principal
from domain.jobs import LIVE, Job
from domain.knowledge import Document as KnowledgeDocument
from domain.knowledge import Project, Visibility


class SqlKnowledgeReader:
    """See application.ports.knowledge.KnowledgeReader; `space` is that of the present embedding model's vectors."""

    def __init__(self, database: Database, space: str | None = None) -> None:
        self._database = database
        self._space = space

    def projects(self, principal: Principal, page: Page, *, visible: bool = False) -> Document:
        those = is_visible(principal.key) if visible else projects.c.owner == principal.key
        with self._database.reading() as connection:
            total, found = _part(connection, projects, and_(those, projects.c.deletion_id.is_(None)), page)
            return _paged(shown_projects(connection, found, principal.key), total, page)

    def project(self, project_id: UUID, principal: Principal) -> Document:
        with self._database.reading() as connection:
            found = _visible(connection, project_id, principal, "project", project_id)
            return shown_projects(connection, [found], principal.key)[0]

    def documents(self, principal: Principal, project_id: UUID | None, page: Page) -> Document:
        with self._database.reading() as connection:
            if project_id is None:
                those = documents.c.owner == principal.key
            else:
                _visible(connection, project_id, principal, "project", project_id)
                those = documents.c.project_id == project_id
            total, found = _part(connection, documents, and_(those, documents.c.deletion_id.is_(None)), page)
            return _paged(shown_documents(connection, found, self._space), total, page)

    def document(self, document_id: UUID, principal: Principal) -> Document:
        with self._database.reading() as connection:
            return shown_documents(connection, [_document(connection, document_id, principal)], self._space)[0]

    def content(self, document_id: UUID, principal: Principal) -> tuple[Document, bytes]:
        with self._database.reading() as connection:
            found = _document(connection, document_id, principal)
            wanted = select(document_contents.c.content).where(document_contents.c.document_id == document_id)
            content: bytes = connection.execute(wanted).scalar_one()
            document = shown_documents(connection, [found], self._space)[0]
            is_known = found.ingested == found.fingerprint
            return document if is_known else document | {"media_type": UNKNOWN_TYPE}, content

    def scope(self, owner: str, *, project_id: UUID | None, keys: Collection[str] | None) -> Scope:
        with self._database.glancing() as connection:
            return scope(connection, owner, project_id, keys)


def _part(
    connection: Connection, table: Table, those: ColumnElement[bool], page: Page
) -> tuple[int, Sequence[Row[Any]]]:
    """How many there are, and one page of them, in an order that no two rows share."""
    total = connection.execute(select(func.count()).select_from(table).where(those)).scalar_one()
    key = by_code_point(table.c.name) if page.sort_by == "name" else table.c[page.sort_by]
    order = (key.desc(), table.c.id.desc()) if page.descending else (key, table.c.id)
    found = connection.execute(select(table).where(those).order_by(*order).limit(page.limit).offset(page.offset))
    return total, found.all()


def _paged(items: list[Document], total: int, page: Page) -> Document:
    return page_document(items, total=total, limit=page.limit, offset=page.offset)


def shown_projects(
    connection: Connection, found: Sequence[Row[Any]], asker: str, *, gone: bool = False
) -> list[Document]:
    """Rows of projects with what their documents add up to; of those that are `gone`, the ones that went along."""
    deletion = documents.c.deletion_id
    those = deletion.in_([row.deletion_id for row in found]) if gone else deletion.is_(None)
    counting = (
        select(
            documents.c.project_id,
            func.count().label("document_count"),
            func.sum(documents.c.passage_count).label("passage_count"),
        )
        .where(documents.c.project_id.in_([row.id for row in found]), those)
        .group_by(documents.c.project_id)
    )
    counts = {row.project_id: row for row in connection.execute(counting)}
    return [
        project_document(
            cast(Project, row),
            asker,
            document_count=counts[row.id].document_count if row.id in counts else 0,
            passage_count=int(counts[row.id].passage_count) if row.id in counts else 0,
        )
        for row in found
    ]


def shown_documents(connection: Connection, found: Sequence[Row[Any]], space: str | None = None) -> list[Document]:
    """Rows of documents with how far the jobs are that are at work on them."""
    wanted = select(jobs).where(jobs.c.id.in_([row.job_id for row in found]), jobs.c.status.in_(LIVE))
    live = {row.id: cast(Job, row) for row in connection.execute(wanted)}
    return [document_of_project(cast(KnowledgeDocument, row), live.get(row.job_id), space) for row in found]


def _visible(connection: Connection, project_id: UUID, principal: Principal, kind: str, wanted: UUID) -> Row[Any]:
    """The project, by which a thing of some `kind` is one's to see."""
    found = connection.execute(select(projects).where(projects.c.id == project_id)).one_or_none()
    if found is None:
        raise NotFound(kind, wanted)
    if found.owner != principal.key and found.visibility != Visibility.PUBLIC and not principal.is_admin:
        raise Forbidden(f"This {kind} belongs to somebody else.", kind=kind)
    if found.deletion_id is not None:
        raise NotFound(kind, wanted)
    return found


def _document(connection: Connection, document_id: UUID, principal: Principal) -> Row[Any]:
    found = connection.execute(select(documents).where(documents.c.id == document_id)).one_or_none()
    if found is None:
        raise NotFound("document", document_id)
    _visible(connection, found.project_id, principal, "document", document_id)
    if found.deletion_id is not None:
        raise NotFound("document", document_id)
    return found
