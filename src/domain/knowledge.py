"""What answers are grounded in: projects, and the documents written about them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.deletions import Deletion
from domain.errors import Conflict, Forbidden, Invalid
from domain.events import ProjectChanged, Recorder
from domain.identity import Principal, PrincipalKind
from domain.limits import Limits

_MEDIA_TYPE = re.compile(r"(?=.{3,200}$)[\w.+-]+/[\w.+-]+( *;[ -~]*)?", re.ASCII)

_SUFFIXES = {"text/markdown": ".md", "text/html": ".html"}

_KEY = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?")


class Visibility(StrEnum):
    """Whose questions a project's documents answer: everybody's, or its owner's alone."""

    PUBLIC = "public"
    PRIVATE = "private"


class DocumentStatus(StrEnum):
    """What has become of a document: `ready` can be found, and stays so while a newer version of it is read in."""

    QUEUED = "queued"
    READY = "ready"
    FAILED = "failed"


@dataclass(eq=False, kw_only=True)
class Project(Recorder):
    """A subject with its documents, of one owner.

    `key` is what an agents file and the command line call it: 1 to 60 small letters, digits and hyphens, one of
    its owner's only. Whatever changes what can be found in it raises `content_version`, which caches are keyed by.
    """

    id: UUID
    owner: str
    key: str
    name: str
    created_at: datetime
    updated_at: datetime
    description: str = ""
    visibility: Visibility = Visibility.PRIVATE
    metadata: dict[str, object] = field(default_factory=dict)
    content_version: int = 0
    deletion_id: UUID | None = None
    version: int = 1

    @classmethod
    def open(
        cls,
        *,
        id: UUID,
        owner: Principal,
        key: str | None,
        name: str,
        description: str,
        visibility: Visibility,
        metadata: Mapping[str, object],
        projects_so_far: int,
        limits: Limits,
        now: datetime,
    ) -> Project:
        """A new project; without a `key` its name makes one.

        Raises Invalid, Forbidden for visitors and for what only admins may make public, or Conflict
        `project_limit_reached`.
        """
        require_author(owner)
        name = limits.text("name", name, limits.project_name)
        project = cls(
            id=id,
            owner=owner.key,
            key=checked_key(key) if key is not None else key_from(name, id),
            name=name,
            description=_optional("description", description, limits),
            visibility=_granted(owner, visibility),
            metadata=limits.metadata(metadata),
            created_at=now,
            updated_at=now,
        )
        project.require_place(projects_so_far, limits)
        project.record(ProjectChanged(subject_id=id, at=now))
        return project

    def require_place(self, projects_so_far: int, limits: Limits) -> None:
        """Raise Conflict `project_limit_reached` when the owner, without this one, has `limits.projects` already."""
        if projects_so_far >= limits.projects:
            raise Conflict(
                "project_limit_reached",
                f"You have {projects_so_far} projects, and {limits.projects} is the most one can have. "
                "Delete one first.",
                limit=limits.projects,
            )

    def change(
        self,
        *,
        by: Principal,
        key: str | None,
        name: str | None,
        description: str | None,
        visibility: Visibility | None,
        metadata: Mapping[str, object] | None,
        limits: Limits,
        now: datetime,
    ) -> None:
        """Take what is given (metadata is replaced as a whole); None leaves a value as it is."""
        if key is not None:
            self.key = checked_key(key)
        if name is not None:
            self.name = limits.text("name", name, limits.project_name)
        if description is not None:
            self.description = _optional("description", description, limits)
        if visibility is not None:
            self.visibility = _granted(by, visibility)
        if metadata is not None:
            self.metadata = limits.metadata(metadata)
        self.updated_at = now
        self.record(ProjectChanged(subject_id=self.id, at=now))

    def content_changed(self, now: datetime) -> None:
        """Note that something else can be found in it."""
        self.content_version += 1
        self.updated_at = now
        self.record(ProjectChanged(subject_id=self.id, at=now))

    def is_visible_to(self, principal: Principal) -> bool:
        """Whether its documents answer the questions of `principal`."""
        return self.visibility is Visibility.PUBLIC or self.owner == principal.key

    def delete(self, deletion: Deletion) -> None:
        """Go out of sight with `deletion`."""
        self.deletion_id = deletion.id
        self.content_changed(deletion.deleted_at)

    def restore(self, deletion: Deletion, now: datetime) -> None:
        """Come back; raises Conflict `not_deleted` when it was not `deletion` that took it."""
        if self.deletion_id != deletion.id:
            raise Conflict("not_deleted", "This project is not deleted.")
        self.deletion_id = None
        self.content_changed(now)


@dataclass(eq=False, kw_only=True)
class Document(Recorder):
    """A file of a project, cut into passages that questions find.

    `name` is its file's, one of its project's only; `fingerprint` the SHA-256 of its content in hexadecimal, `size`
    that in bytes. `error` is `{code, message}`: why its present content could not be read in, or not be embedded;
    what was found in it before then still is. `ingested` is the fingerprint of what its passages were cut from.
    `embedded_with` names the embedding space of their vectors, `refused_by` the one that would not have them.
    """

    id: UUID
    project_id: UUID
    owner: str
    name: str
    title: str
    media_type: str
    size: int
    fingerprint: str
    created_at: datetime
    updated_at: datetime
    job_id: UUID | None = None
    status: DocumentStatus = DocumentStatus.QUEUED
    error: dict[str, str] | None = None
    characters: int = 0
    passage_count: int = 0
    ingested: str | None = None
    embedded_with: str | None = None
    refused_by: str | None = None
    metadata: dict[str, object] = field(default_factory=dict)
    ingested_at: datetime | None = None
    deletion_id: UUID | None = None
    version: int = 1

    @classmethod
    def add(
        cls,
        *,
        id: UUID,
        project: Project,
        name: str | None,
        title: str | None,
        media_type: str,
        size: int,
        fingerprint: str,
        metadata: Mapping[str, object],
        documents_so_far: int,
        limits: Limits,
        now: datetime,
    ) -> Document:
        """A document that waits to be read in.

        Without a `name` its title and what it is make one; without a `title` it is called so until it says its own.
        Raises Invalid, or Conflict `document_limit_reached`.
        """
        if name is None:
            name = file_name_from(title or "", media_type, id)
        document = cls(
            id=id,
            project_id=project.id,
            owner=project.owner,
            name=_file_name(limits.text("name", name, limits.document_title)),
            title=limits.text("title", title, limits.document_title) if title is not None else "",
            media_type=_media_type(media_type),
            size=_sized(size, limits),
            fingerprint=fingerprint,
            metadata=limits.metadata(metadata),
            created_at=now,
            updated_at=now,
        )
        document.require_place(documents_so_far, limits)
        return document

    def require_place(self, documents_so_far: int, limits: Limits) -> None:
        """Raise Conflict `document_limit_reached` when its project, without it, has `limits.documents` already."""
        if documents_so_far >= limits.documents:
            raise Conflict(
                "document_limit_reached",
                f"The project has {documents_so_far} documents, and {limits.documents} is the most it can have.",
                limit=limits.documents,
            )

    def change(
        self, *, title: str | None, metadata: Mapping[str, object] | None, limits: Limits, now: datetime
    ) -> None:
        """Take a new title, new metadata (replaced as a whole) or both; None leaves a value as it is."""
        if title is not None:
            self.title = limits.text("title", title, limits.document_title)
        if metadata is not None:
            self.metadata = limits.metadata(metadata)
        self.updated_at = now

    def replace(self, *, media_type: str, size: int, fingerprint: str, limits: Limits, now: datetime) -> None:
        """Take new content, to be read in; what was found in the old one is found until then."""
        self.size = _sized(size, limits)
        self.media_type = _media_type(media_type)
        self.fingerprint = fingerprint
        self.updated_at = now

    def wait_for(self, job_id: UUID, now: datetime) -> None:
        """Be read in by a job."""
        self.job_id = job_id
        self.error = None
        if self.ingested is None:
            self.status = DocumentStatus.QUEUED
        self.updated_at = now

    def wait_for_embedding(self, job_id: UUID) -> None:
        """Have its passages embedded by a job."""
        self.job_id = job_id

    @property
    def is_ingested(self) -> bool:
        """Whether what can be found of it is its present content."""
        return self.ingested == self.fingerprint

    @property
    def is_unread(self) -> bool:
        """Whether its present content is still to be read in."""
        return not self.is_ingested and self.error is None

    def take_passages(
        self, *, title: str | None, media_type: str, characters: int, passages: int, fingerprint: str, now: datetime
    ) -> None:
        """Be found from now on by the passages that the content of `fingerprint` was cut into."""
        self.title = self.title or title or self.name
        self.media_type = media_type
        self.characters = characters
        self.passage_count = passages
        self.ingested = fingerprint
        self.embedded_with = None
        self.refused_by = None
        self.status = DocumentStatus.READY
        self.error = None
        self.ingested_at = now
        self.updated_at = now

    def take_embeddings(self, space: str, now: datetime) -> None:
        """Be found by meaning too: its passages have vectors of `space`."""
        self.embedded_with = space
        self.refused_by = None
        if self.is_ingested:
            self.error = None
        self.updated_at = now

    def lose_embeddings(self) -> None:
        """Be found by its words alone, until it is embedded anew."""
        self.embedded_with = None

    def refuse(self, code: str, message: str, now: datetime) -> None:
        """Note why its content cannot be read in; what was found in it before still is."""
        self.error = {"code": code, "message": message}
        if self.ingested is None:
            self.status = DocumentStatus.FAILED
        self.updated_at = now

    def refuse_embedding(self, space: str, code: str, message: str, now: datetime) -> None:
        """Note why `space` will not have its passages; their words still find them."""
        self.refused_by = space
        if self.is_ingested:
            self.error = {"code": code, "message": message}
        self.updated_at = now

    def delete(self, deletion: Deletion) -> None:
        """Go out of sight with `deletion`, by itself or with its project."""
        self.deletion_id = deletion.id

    def restore(self, deletion: Deletion, now: datetime) -> None:
        """Come back; raises Conflict `not_deleted` when it was not `deletion` that took it."""
        if self.deletion_id != deletion.id:
            raise Conflict("not_deleted", "This document is not deleted.")
        self.deletion_id = None
        self.updated_at = now


def require_author(principal: Principal) -> None:
    """Raise Forbidden for visitors: what they uploaded would outlive them, at the product's cost."""
    if principal.kind is PrincipalKind.VISITOR:
        raise Forbidden("Only signed-in users may keep projects and documents.", kind="project")


def key_from(name: str, id: UUID) -> str:
    """A key that a name suggests, in ASCII; where none of it is left, one with the end of the id."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    key = re.sub(r"[^a-z0-9]+", "-", plain)[:60].strip("-")
    return key or f"project-{id.hex[-8:]}"


def file_name_from(title: str, media_type: str, id: UUID) -> str:
    """What the file of a text that came without one is called; without a title, with the end of the id."""
    name = re.sub(r"[^\w.-]+", "-", title)[:100].strip("-.") or f"text-{id.hex[-8:]}"
    return f"{name}{_SUFFIXES.get(media_type, '.txt')}"


def numbered_key(key: str, number: int) -> str:
    """The same for the second, the third and so on that would be called so."""
    end = f"-{number}"
    return key[: 60 - len(end)].rstrip("-") + end


def checked_key(key: str) -> str:
    """A project's key, if it is one; raises Invalid."""
    if not _KEY.fullmatch(key):
        raise Invalid({"key": "Must be 1 to 60 small letters, digits and hyphens, with no hyphen at the ends."})
    return key


def _granted(principal: Principal, visibility: Visibility) -> Visibility:
    if visibility is Visibility.PUBLIC and not principal.is_admin:
        raise Forbidden("Only admins may make a project public.", kind="project")
    return visibility


def _optional(name: str, value: str, limits: Limits) -> str:
    return limits.text(name, value, limits.description) if value.strip() else ""


def _file_name(name: str) -> str:
    """Where files come from they may be called anything; where they go to, terminals and headers obey some of it."""
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in name):
        raise Invalid({"name": "Must hold no line breaks or other control characters."})
    return name


def _media_type(said: str) -> str:
    """What a sender says, parameters included: nobody believes it before the content was looked at."""
    if not _MEDIA_TYPE.fullmatch(said):
        raise Invalid({"media_type": "Must be a media type such as text/markdown, of up to 200 characters."})
    return said


def _sized(size: int, limits: Limits) -> int:
    if not size:
        raise Invalid({"file": "Must not be empty."})
    if size > limits.document_bytes:
        raise Invalid({"file": f"Must be at most {limits.document_bytes:,} bytes, but has {size:,}."})
    return size
