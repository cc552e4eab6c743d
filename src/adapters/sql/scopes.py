"""Which projects answer whose questions."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from adapters.sql.knowledge_tables import projects
from application.ports.knowledge import Scope
from domain.knowledge import Visibility


def is_visible(owner: str) -> ColumnElement[bool]:
    """Whether a project answers the owner's questions."""
    return or_(projects.c.visibility == Visibility.PUBLIC, projects.c.owner == owner)


def scope(connection: Connection, owner: str, project_id: UUID | None, keys: Collection[str] | None) -> Scope:
    """See application.ports.knowledge.KnowledgeReader."""
    those = and_(is_visible(owner), projects.c.deletion_id.is_(None))
    if project_id is not None:
        those = and_(those, projects.c.id == project_id)
    if keys is not None:
        those = and_(those, projects.c.key.in_(sorted(keys)))
    found = connection.execute(select(projects.c.id, projects.c.content_version).where(those)).all()
    return Scope({row.id: row.content_version for row in found})
