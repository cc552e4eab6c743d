"""An installation as an operator's commands have it in their own process, with a clock that tests can set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from dependency_injector import providers
from sqlalchemy import text

from adapters.sql.tables import metadata
from application.conversations.commands import StartConversation
from application.facade import Application
from application.knowledge.documents import AddDocument
from application.knowledge.projects import OpenProject
from application.ports.persistence import StartWork
from application.rooms.commands import OpenRoom
from domain.identity import Principal
from entrypoints.container import Container, close
from entrypoints.settings import Settings
from tests.builders import ALICE, answered, asked
from tests.parley_process import environment


class Clock:
    """The real time, until it is set forward."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def forward(self, **amount: float) -> None:
        self._ahead += timedelta(**amount)


@contextmanager
def configured(**settings: object) -> Iterator[Container]:
    """The object graph of an installation with these settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(**settings).items():
            if name.startswith(("PARLEY_", "OPENAI_")):
                patch.setenv(name, value)
        container = Container(settings=Settings.from_environment())
    yield container
    close(container)


class Operator:
    """Makes things as their owners would, and has them gone."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.clock = Clock()
        container.clock.override(providers.Object(self.clock))
        self.database = container.database()
        self.app: Application = container.application()
        start_work: Any = container.start_work()
        self.start_work: StartWork = start_work

    def room(self, owner: Principal = ALICE, name: str = "Room") -> UUID:
        return self.app.rooms.open(OpenRoom(principal=owner, name=name)).id

    def conversation(self, owner: Principal = ALICE, room_id: UUID | None = None, *, messages: int = 2) -> UUID:
        """A conversation with so many messages, questions and answers in turn."""
        started = self.app.conversations.start(StartConversation(principal=owner, room_id=room_id))
        for number in range(messages // 2):
            with self.start_work() as work:
                conversation = work.conversations.get(started.id, for_=owner)
                question, reply, answer = answered(conversation, f"Why {number}?", now=self.clock())
                for message in (question, answer):
                    work.messages.add(message)
                work.replies.add(reply)
                work.commit()
        return started.id

    def ask(self, conversation_id: UUID, owner: Principal = ALICE) -> UUID:
        """A reply that waits for a worker."""
        with self.start_work() as work:
            conversation = work.conversations.get(conversation_id, for_=owner)
            question, reply = asked(conversation, now=self.clock())
            work.messages.add(question)
            work.replies.add(reply)
            work.commit()
        return reply.id

    def document(self, owner: Principal = ALICE, content: str = "# Note\n\nIt is blue.\n") -> tuple[UUID, UUID]:
        """A project, and a document in it that was read in."""
        project = self.app.projects.open(OpenProject(principal=owner, name=f"Project {uuid4().hex}"))
        adding = AddDocument(principal=owner, project_id=project.id, name="note.md", content=content.encode())
        document, _ = self.app.documents.add(adding)
        assert self.app.documents.work_off(document.id) is None
        return project.id, document.id

    def counts(self) -> dict[str, int]:
        """The rows of each table that has any."""
        found = {}
        with self.database.reading() as connection:
            for table in sorted(metadata.tables):
                number: int = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608
                if number:
                    found[table] = number
        return found

    def execute(self, statement: str, **values: object) -> None:
        """Do something behind the application's back."""
        with self.database.writing() as connection:
            connection.execute(text(statement), values)
            connection.commit()


@contextmanager
def operating(folder: Path, **settings: object) -> Iterator[Operator]:
    """On an installation that is up to date, in that folder unless it is said to be elsewhere."""
    with configured(PARLEY_DATA_DIR=folder, **settings) as container:
        container.schema().upgrade()
        yield Operator(container)
