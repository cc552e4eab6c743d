"""Parley's own documentation as the knowledge that an installation begins with."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from application.knowledge.documents import delete_document, fingerprint_of
from application.knowledge.ingesting import Ingestion
from application.ports.parsing import MARKDOWN, DocumentParser, DocumentUnreadable, ParsedDocument
from application.ports.persistence import ConcurrentChange, StartWork, UnitOfWork
from domain.identity import SYSTEM
from domain.knowledge import Document, Project, Visibility

log = logging.getLogger(__name__)

KEY = "parley"
"""What the project is called that holds the documentation."""

_MARK: Mapping[str, object] = {"source": "parley"}
"""The metadata of documents that came from the folder: others in the project are left alone."""


_PATIENCE = 4
"""Who reads all pages in at the same moment takes longer than a database lets others wait: they wait again."""


@dataclass(frozen=True, slots=True)
class SeedDocumentation:
    """Has the documentation of this version found: at once in a new installation, and again when it has changed.

    An installation that has ever had a project is given none; a project or a document that was deleted stays so.
    """

    start_work: StartWork
    parser: DocumentParser
    ingestion: Ingestion
    folder: Path

    def __call__(self) -> int:
        """How many documents were read in or deleted; none is half-way in when this fails."""
        pages = sorted([*self.folder.glob("*.md"), *self.folder.glob("guides/*.md")])  # ADRs are for developers.
        files = {page.relative_to(self.folder).as_posix(): page.read_bytes() for page in pages}
        if not files:
            return 0  # A package without them says nothing of what is to be found.
        for _ in range(_PATIENCE - 1):
            with suppress(ConcurrentChange):
                return self._brought_up_to_date(files)
        return self._brought_up_to_date(files)

    def _brought_up_to_date(self, files: Mapping[str, bytes]) -> int:
        changed = 0
        with self.start_work() as work:
            project = self._project(work)
            if project is None:
                return 0
            documents: dict[str, Document] = {}
            for document in work.documents.in_project(project.id, deleted=None):
                if document.name not in documents or document.deletion_id is None:
                    documents[document.name] = document
            for name, content in files.items():
                changed += self._bring_up_to_date(work, project, documents.get(name), name, content)
            for document in documents.values():
                is_ours = document.metadata == _MARK and document.deletion_id is None
                if is_ours and document.name not in files:
                    delete_document(work, project, document, self.ingestion.new_id(), self.ingestion.now())
                    changed += 1
            if changed:
                work.commit()
        return changed

    def _project(self, work: UnitOfWork) -> Project | None:
        has = work.projects.count(SYSTEM.key)  # Who else begins at this moment waits here.
        kept = work.projects.keyed(SYSTEM.key, KEY)
        if kept is not None:
            return work.projects.get(kept.id, for_=SYSTEM)
        if not work.projects.is_empty():
            return None
        project = Project.open(
            id=self.ingestion.new_id(),
            owner=SYSTEM,
            key=KEY,
            name="Parley",
            description="The documentation of Parley itself.",
            visibility=Visibility.PUBLIC,
            metadata={},
            projects_so_far=has,
            limits=self.ingestion.limits,
            now=self.ingestion.now(),
        )
        work.projects.add(project)
        return project

    def _bring_up_to_date(
        self, work: UnitOfWork, project: Project, document: Document | None, name: str, content: bytes
    ) -> bool:
        fingerprint = fingerprint_of(content)
        if document is not None and (
            document.metadata != _MARK or document.deletion_id is not None or document.ingested == fingerprint
        ):
            return False
        parsed = self._parsed(name, content)
        if parsed is None:
            return False
        limits, now = self.ingestion.limits, self.ingestion.now()
        if document is None:
            document = Document.add(
                id=self.ingestion.new_id(),
                project=project,
                name=name,
                title=None,
                media_type=MARKDOWN,
                size=len(content),
                fingerprint=fingerprint,
                metadata=_MARK,
                documents_so_far=0,
                limits=limits,
                now=now,
            )
            work.documents.add(document)
        else:
            document.replace(media_type=MARKDOWN, size=len(content), fingerprint=fingerprint, limits=limits, now=now)
        work.documents.keep_content(document.id, content)
        self.ingestion.take(work, project, document, parsed, fingerprint)
        return True

    def _parsed(self, name: str, content: bytes) -> ParsedDocument | None:
        try:
            return self.parser.parse(content, name=name, media_type=MARKDOWN)
        except DocumentUnreadable as fault:  # A file that somebody left in the folder is no reason not to start.
            log.warning("%s in the documentation cannot be read: %s", name, fault)
            return None
