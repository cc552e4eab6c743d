"""A database with documents in it, and what finds them: everything but the queue is real."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

from adapters.in_process.cache import InProcessCache
from adapters.parsing.parser import SafeParser
from adapters.sql.engine import Database
from adapters.sql.knowledge_reader import SqlKnowledgeReader
from adapters.sql.passage_index import SqlPassageIndex
from adapters.sql.unit_of_work import SqlUnitOfWork
from adapters.words import terms_of
from application.caching import Caches, Lifetimes
from application.knowledge.ingesting import Ingestion
from application.knowledge.retrieval import Retrieval
from application.knowledge.seeding import SeedDocumentation
from application.ports.knowledge import Embedder, Scope
from domain.agents import ALL_KNOWLEDGE
from domain.identity import Principal
from domain.knowledge import Document, Project, Visibility
from domain.limits import Limits
from tests.builders import ALICE, NOW, a_document, a_project


class Library:
    """Adds documents and searches them. With an `embedder`, they are embedded as soon as they are added."""

    def __init__(self, database: Database, embedder: Embedder | None = None, *, floor: float = 0.3) -> None:
        self.database = database
        self.embedder = embedder
        self.index = SqlPassageIndex(database)
        self.reader = SqlKnowledgeReader(database)
        self.caches = Caches(InProcessCache(64 * 1024 * 1024), Lifetimes(), uuid4)
        self.retrieval = Retrieval(self.index, self.reader, embedder, self.caches, terms_of, floor)
        self._ingestion = Ingestion(uuid4, lambda: NOW, Limits(), None)
        self._parser = SafeParser()

    def start_work(self) -> SqlUnitOfWork:
        return SqlUnitOfWork(self.database)

    def seed(self, folder: Path) -> int:
        """Parley's documentation, as a fresh install has it."""
        return SeedDocumentation(self.start_work, self._parser, self._ingestion, folder)()

    def project(
        self, owner: Principal = ALICE, name: str = "Project", visibility: Visibility = Visibility.PRIVATE
    ) -> Project:
        project = a_project(owner, name)
        project.visibility = visibility
        with self.start_work() as work:
            work.projects.add(project)
            work.commit()
        return project

    def add(self, project: Project, name: str, content: str, *, title: str | None = None) -> Document:
        """Have a document found by what it holds."""
        parsed = self._parser.parse(content.encode(), name=name, media_type=None)
        with self.start_work() as work:
            kept = work.projects.keyed(project.owner, project.key)
            assert kept is not None
            document = a_document(kept, name, title=title)
            work.documents.add(document)
            self._ingestion.take(work, kept, document, parsed, document.fingerprint)
            work.commit()
        if self.embedder is not None:
            self.embed(document.id, self.embedder)
        return document

    def embed(self, document_id: UUID, embedder: Embedder) -> None:
        """Give a document's passages their vectors."""
        with self.start_work() as work:
            work.passages.embed(document_id, embedder.space, embedder.embed(work.passages.texts(document_id)))
            work.commit()

    def scope(self, owner: Principal = ALICE) -> Scope:
        return self.retrieval.scope_for(owner.key, ALL_KNOWLEDGE, None)
