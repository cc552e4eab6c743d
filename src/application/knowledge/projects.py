"""Open, change, delete and restore projects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID

from application.documents import project_document
from application.knowledge.ingesting import drop_jobs, queue_reading
from application.ports.persistence import Once, StartWork, UnitOfWork
from application.ports.runtime import NewId, Now
from domain.deletions import Deletion, Subject
from domain.errors import Conflict
from domain.identity import Principal
from domain.knowledge import Project, Visibility, key_from, numbered_key, require_author
from domain.limits import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenProject:
    """A principal wants a project; without a `key` its name makes one."""

    principal: Principal
    name: str
    key: str | None = None
    description: str = ""
    visibility: Visibility = Visibility.PRIVATE
    metadata: Mapping[str, object] = field(default_factory=dict)
    once: Once | None = None


@dataclass(frozen=True, slots=True)
class OpenProjectHandler:
    """Opens the project; raises Invalid, Forbidden, Conflict `project_exists` or `project_limit_reached`."""

    start_work: StartWork
    new_id: NewId
    now: Now
    limits: Limits

    def __call__(self, command: OpenProject) -> Project:
        require_author(command.principal)
        owner, project_id = command.principal.key, self.new_id()
        with self.start_work() as work:
            so_far = work.projects.count(owner)
            key = command.key
            if key is None:
                key = _free_key(work, owner, key_from(command.name, project_id))
            project = Project.open(
                id=project_id,
                owner=command.principal,
                key=key,
                name=command.name,
                description=command.description,
                visibility=command.visibility,
                metadata=command.metadata,
                projects_so_far=so_far,
                limits=self.limits,
                now=self.now(),
            )
            _require_free_key(work, owner, project.key)
            work.projects.add(project)
            work.answers.keep(command.once, project_document(project, owner))
            work.commit()
        return project


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeProject:
    """A project shall be another in what is given; None leaves a value as it is."""

    principal: Principal
    project_id: UUID
    key: str | None = None
    name: str | None = None
    description: str | None = None
    visibility: Visibility | None = None
    metadata: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class ChangeProjectHandler:
    """Changes the project; raises NotFound, Forbidden, Invalid or Conflict `project_exists`."""

    start_work: StartWork
    now: Now
    limits: Limits

    def __call__(self, command: ChangeProject) -> Project:
        with self.start_work() as work:
            project = work.projects.get(command.project_id, for_=command.principal)
            key_before = project.key
            project.change(
                by=command.principal,
                key=command.key,
                name=command.name,
                description=command.description,
                visibility=command.visibility,
                metadata=command.metadata,
                limits=self.limits,
                now=self.now(),
            )
            if project.key != key_before:
                _require_free_key(work, project.owner, project.key)
            work.commit()
        return project


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteProject:
    """A project and all its documents shall go, until restored."""

    principal: Principal
    project_id: UUID


@dataclass(frozen=True, slots=True)
class DeleteProjectHandler:
    """Deletes softly in one act, and stops what is being read in; raises NotFound or Forbidden."""

    start_work: StartWork
    new_id: NewId
    now: Now

    def __call__(self, command: DeleteProject) -> Deletion:
        with self.start_work() as work:
            project = work.projects.get(command.project_id, for_=command.principal)
            documents = work.documents.in_project(project.id)
            deletion = Deletion(
                id=self.new_id(),
                owner=project.owner,
                subject=Subject.PROJECT,
                subject_id=project.id,
                document_count=len(documents),
                deleted_at=self.now(),
            )
            work.deletions.add(deletion)
            project.delete(deletion)
            for document in documents:
                document.delete(deletion)
            drop_jobs(work, documents, deletion.deleted_at)
            work.commit()
        return deletion


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreProject:
    """A deleted project shall come back with the documents that went with it."""

    principal: Principal
    project_id: UUID


@dataclass(frozen=True, slots=True)
class RestoreProjectHandler:
    """Undoes the project's deletion, and reads in what had not been.

    Raises NotFound, Forbidden, Conflict `not_deleted`, `project_exists` or `project_limit_reached`.
    """

    start_work: StartWork
    new_id: NewId
    now: Now
    limits: Limits

    def __call__(self, command: RestoreProject) -> Project:
        now = self.now()
        with self.start_work() as work:
            project = work.projects.get(command.project_id, for_=command.principal, deleted=None)
            if project.deletion_id is None:
                raise Conflict("not_deleted", "This project is not deleted.")
            project.require_place(work.projects.count(project.owner), self.limits)
            _require_free_key(work, project.owner, project.key)
            deletion = work.deletions.get(project.deletion_id)
            deletion.restore(now)
            project.restore(deletion, now)
            for document in work.documents.taken_by(deletion.id):
                document.restore(deletion, now)
                if document.is_unread:
                    queue_reading(work, document, self.new_id(), now)
            work.commit()
        return project


def _free_key(work: UnitOfWork, owner: str, suggested: str) -> str:
    """The key that a name suggests, or that with the first number that nothing else is called by."""
    keys = (suggested if number == 1 else numbered_key(suggested, number) for number in count(1))
    return next(key for key in keys if work.projects.keyed(owner, key) is None)


def _require_free_key(work: UnitOfWork, owner: str, key: str) -> None:
    taken = work.projects.keyed(owner, key)
    if taken is not None:
        raise Conflict("project_exists", f"There is a project {key!r} already.", key=key, id=str(taken.id))
