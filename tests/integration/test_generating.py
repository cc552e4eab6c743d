"""How one reply is written: paced, checkpointed, fenced. Storage and log are real, the model is the test's own."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from dependency_injector import providers

from adapters.in_process.reply_log import InProcessReplyLog
from adapters.in_process.runtime import now
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.conversations.asking import AskQuestion, RegenerateReply
from application.conversations.commands import StartConversation
from application.facade import Application
from application.ports.persistence import Document
from application.ports.queries import MessagePage
from application.replies.answering import Pace
from application.replies.ending import CancelReply
from application.replies.watching import WatchReply
from domain.identity import SYSTEM
from domain.replies import LEASE, ReplyStatus
from entrypoints.container import Container
from entrypoints.settings import Settings
from tests.builders import ALICE
from tests.fakes.model import ScriptedModel
from tests.waiting import eventually


class Clock:
    """The present, moved on by hand."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return now() + self.ahead


class World:
    """An application over a fresh database whose model is scripted and whose worker is started by hand."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, data_dir: Path, prepare: Callable[[World], None] = lambda world: None
    ) -> None:
        monkeypatch.setenv("PARLEY_DATA_DIR", str(data_dir))
        monkeypatch.setenv("PARLEY_CACHE_ANSWERS", "0")
        self.model = ScriptedModel()
        self.clock = Clock()
        self.container = Container(settings=Settings.from_environment())
        self.container.model.override(providers.Object(self.model))
        self.container.clock.override(providers.Object(self.clock))
        prepare(self)
        self.container.schema().upgrade()
        self.app: Application = self.container.application()

    def ask(self, content: str = "Why?") -> UUID:
        conversation = self.app.conversations.start(StartConversation(principal=ALICE))
        _, reply = self.app.conversations.ask(
            AskQuestion(principal=ALICE, conversation_id=conversation.id, content=content)
        )
        return reply.id

    def generate(self, reply_id: UUID) -> Callable[[], bool]:
        """Write the reply in a thread; whether that is over."""
        thread = threading.Thread(target=self.app.replies.generate, args=(reply_id,), daemon=True)
        thread.start()
        return lambda: not thread.is_alive()

    def another_processs_reaper(self) -> list[tuple[UUID, ReplyStatus]]:
        """What a process that writes nothing reaps once the leases are over."""
        self.clock.ahead = LEASE * 2
        return replace(self.app.replies.reap, writes=lambda _: False)()

    def events(self, reply_id: UUID) -> list[str]:
        return [entry.event for entry in self.container.reply_log().read(reply_id, after=-1)]

    def text(self, reply_id: UUID) -> str:
        entries = self.container.reply_log().read(reply_id, after=-1)
        return "".join(entry.data.get("text", "") for entry in entries)

    def stored(self, reply_id: UUID) -> Document:
        return self.app.read.reply(reply_id, ALICE)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> Iterator[World]:
    world = World(monkeypatch, data_dir)
    yield world
    world.model.finish()
    world.container.database().dispose()


def test_the_first_words_leave_at_once_and_are_checkpointed(world: World) -> None:
    reply = world.ask()
    done = world.generate(reply)

    world.model.say("First")

    eventually(lambda: world.text(reply) == "First")
    eventually(lambda: world.stored(reply)["text"] == "First")
    world.model.finish()
    eventually(done)


def test_words_that_come_together_leave_together(world: World) -> None:
    reply = world.ask()
    done = world.generate(reply)
    world.model.say("First")
    eventually(lambda: world.text(reply) == "First")

    world.model.say(*["more "] * 200)
    world.model.finish()

    eventually(done)
    assert world.text(reply) == "First" + "more " * 200
    assert world.events(reply).count("reply.delta") < 30


def test_text_is_checkpointed_while_it_is_written(world: World) -> None:
    reply = world.ask()
    done = world.generate(reply)
    world.model.say("One ")
    eventually(lambda: world.stored(reply)["text"] == "One ")

    world.model.say("two ")

    eventually(lambda: world.stored(reply)["text"] == "One two ")
    assert world.stored(reply)["status"] == "running"
    world.model.finish()
    eventually(done)


def test_a_worker_that_lost_its_lease_writes_nothing_more_and_lets_go_of_the_model(world: World) -> None:
    reply = world.ask()
    done = world.generate(reply)
    world.model.say("Before ")
    eventually(lambda: world.stored(reply)["text"] == "Before ")

    reaped = world.another_processs_reaper()
    world.model.say("after")

    eventually(done)
    assert reaped == [(reply, ReplyStatus.INTERRUPTED)]
    assert world.events(reply)[-1] == "reply.interrupted"
    assert world.events(reply).count("reply.interrupted") == 1
    assert world.stored(reply)["message"]["content"] == "Before "
    assert eventually(lambda: world.model.streams[0].closed)


def test_a_reply_that_said_nothing_is_queued_again_and_dispatched(world: World) -> None:
    reply = world.ask()
    done = world.generate(reply)
    eventually(lambda: world.stored(reply)["status"] == "running")

    reaped = world.another_processs_reaper()
    world.model.say("Too late")
    eventually(done)
    eventually(lambda: world.model.streams[0].ended)
    world.model.say("In time")
    world.model.finish()
    world.app.replies.generate(reply)

    assert reaped == [(reply, ReplyStatus.QUEUED)]
    assert world.stored(reply)["text"] == "In time"
    assert world.stored(reply)["status"] == "completed"


def test_what_was_emitted_but_not_checkpointed_is_kept_and_not_said_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    reply = world.ask()
    done = world.generate(reply)
    world.model.say("Emitted")
    eventually(lambda: world.text(reply) == "Emitted")
    with world.container.database().writing() as connection:
        connection.exec_driver_sql("UPDATE replies SET text = ''")
        connection.commit()

    reaped = world.another_processs_reaper()

    assert reaped == [(reply, ReplyStatus.INTERRUPTED)]
    assert world.stored(reply)["message"]["content"] == "Emitted"
    assert _endings(caplog) == [(str(reply), "WARNING", "interrupted")]
    world.model.finish()
    eventually(done)


def test_a_process_does_not_reap_what_it_is_writing_itself(world: World) -> None:
    reply = world.ask()
    done = world.generate(reply)
    world.model.say("Here")
    eventually(lambda: world.stored(reply)["text"] == "Here")

    world.clock.ahead = LEASE * 2

    assert world.app.replies.reap() == []
    world.model.finish()
    eventually(done)
    assert world.stored(reply)["status"] == "completed"


def test_one_reply_that_cannot_be_reaped_does_not_keep_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = world.ask(), world.ask()
    for reply in (broken, sound):
        with SqlUnitOfWork(world.container.database()) as work:
            work.replies.get(reply, for_=SYSTEM).claim(now())
            work.commit()
    with world.container.database().writing() as connection:
        connection.exec_driver_sql("UPDATE replies SET error = '{no json', agent = 'x' WHERE id = ?", (broken.hex,))
        connection.commit()
    world.clock.ahead = LEASE * 2

    reaped = world.app.replies.reap()

    assert reaped == [(sound, ReplyStatus.QUEUED)]


def test_a_text_is_kept_however_long_the_store_is_away(world: World) -> None:
    reply = world.ask()
    done = world.generate(reply)
    world.model.say("All ", "of ", "it")
    eventually(lambda: world.text(reply) == "All of it")
    with sqlite3.connect(world.container.database().name) as other:
        other.execute("BEGIN IMMEDIATE")
        world.model.finish()
        world.clock.ahead = LEASE * 2
        assert world.app.replies.reap() == []
        assert not done()
    other.close()

    eventually(done, within=30)
    assert world.stored(reply)["status"] == "completed"
    assert world.stored(reply)["message"]["content"] == "All of it"


def test_a_lease_that_is_renewed_is_not_reaped(world: World) -> None:
    reply = world.ask()
    done = world.generate(reply)
    world.model.say("Still here")
    eventually(lambda: world.stored(reply)["text"])

    assert world.app.replies.reap() == []
    world.model.finish()
    eventually(done)
    assert world.stored(reply)["status"] == "completed"


def test_a_reply_cancelled_before_it_began_never_reaches_the_model(world: World) -> None:
    reply = world.ask()

    cancelled = world.app.replies.cancel(CancelReply(principal=ALICE, reply_id=reply))
    world.app.replies.generate(reply)

    assert cancelled["status"] == "cancelled"
    assert world.events(reply) == ["reply.cancelled"]
    assert world.model.prompts == []


def test_an_owner_that_does_not_hear_of_a_cancel_finds_it_at_its_next_checkpoint(world: World) -> None:
    reply = world.ask()
    done = world.generate(reply)
    world.model.say("One ")
    eventually(lambda: world.stored(reply)["text"])
    with SqlUnitOfWork(world.container.database()) as work:
        work.replies.get(reply, for_=SYSTEM).request_cancel(now())
        work.commit()

    world.model.say("two ")

    eventually(done)
    assert world.stored(reply)["status"] == "cancelled"
    assert world.stored(reply)["text"] == "One two "


def test_an_interrupting_question_does_not_wait_for_an_owner_that_is_gone(world: World) -> None:
    reply = world.ask()
    with SqlUnitOfWork(world.container.database()) as work:
        work.replies.get(reply, for_=SYSTEM).claim(now())
        work.commit()

    cancelled = world.app.replies.cancel(CancelReply(principal=ALICE, reply_id=reply, insist=True))

    assert cancelled["status"] == "cancelled"


def test_two_workers_write_a_reply_once(world: World) -> None:
    reply = world.ask()
    first, second = world.generate(reply), world.generate(reply)
    world.model.say("Only once")
    world.model.finish()

    eventually(first)
    eventually(second)
    assert len(world.model.prompts) == 1
    assert world.text(reply) == "Only once"


def test_a_lost_dispatch_is_made_up_for(world: World) -> None:
    reply = world.ask()
    world.container.worker().start(world.app.replies.generate)
    world.model.say("Found")
    world.model.finish()

    world.clock.ahead = timedelta(seconds=3)
    dispatched = world.app.replies.sweep()

    assert dispatched == 1
    eventually(lambda: world.stored(reply)["message"])


def test_stopping_the_process_hands_over_what_it_writes(world: World) -> None:
    silent, talking = world.ask(), world.ask()
    all_done = [world.generate(silent)]
    eventually(lambda: world.stored(silent)["status"] == "running")
    all_done.append(world.generate(talking))
    eventually(lambda: len(world.model.streams) == 2)
    world.model.say("Half")
    spoken = eventually(lambda: next((reply for reply in (silent, talking) if world.text(reply)), None))

    world.app.replies.generate.stop_all()

    for done in all_done:
        eventually(done)
    statuses = {reply: world.stored(reply)["status"] for reply in (silent, talking)}
    assert statuses.pop(spoken) == "interrupted"
    assert list(statuses.values()) == ["queued"]


def test_a_model_that_fails_before_it_said_anything_is_replaced_by_the_fallback(world: World) -> None:
    fallback = ScriptedModel()
    world.container.fallback.override(providers.Object(fallback))
    world.container.application.reset()
    world.container.generate.reset()
    world.app = world.container.application()
    reply = world.ask()
    world.model.fail("model_unreachable")
    fallback.say("Instead")
    fallback.finish()

    world.app.replies.generate(reply)

    stored = world.stored(reply)
    assert (stored["status"], stored["text"]) == ("completed", "Instead")
    assert stored["metadata"]["fallback"]["code"] == "model_unreachable"


def test_a_model_that_fails_in_the_middle_keeps_its_text_and_is_not_replaced(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    reply = world.ask()
    world.model.say("Half a")
    world.model.fail("model_broke_off")

    world.app.replies.generate(reply)

    assert world.stored(reply)["status"] == "failed"
    assert world.stored(reply)["error"] == {"code": "model_broke_off", "message": "as scripted"}
    assert world.stored(reply)["text"] == "Half a"
    assert _endings(caplog) == [(str(reply), "WARNING", "model_broke_off")]


def test_an_answer_comes_back_when_its_new_version_says_nothing(world: World) -> None:
    reply = world.ask()
    world.model.say("Good")
    world.model.finish()
    world.app.replies.generate(reply)
    anew = world.app.replies.regenerate(RegenerateReply(principal=ALICE, reply_id=reply))
    world.app.replies.cancel(CancelReply(principal=ALICE, reply_id=anew.id))

    history = world.app.read.messages(anew.conversation_id, ALICE, MessagePage())["items"]
    again = world.app.replies.regenerate(RegenerateReply(principal=ALICE, reply_id=reply))

    assert [message["content"] for message in history] == ["Why?", "Good"]
    assert again.version == 3


def test_every_wait_ends_when_the_process_is_about_to(world: World) -> None:
    reply = world.ask()
    batches = world.app.replies.watch(WatchReply(principal=ALICE, reply_id=reply))
    seen: list[int] = []
    assert batches is not None
    watching = threading.Thread(target=lambda: seen.extend(len(batch) for batch in batches), daemon=True)
    waiting_for = WatchReply(principal=ALICE, reply_id=reply)
    waiting = threading.Thread(
        target=world.app.replies.watch.sees_end, args=(waiting_for,), kwargs={"within": 60}, daemon=True
    )
    watching.start()
    waiting.start()

    world.app.replies.watch.stopping.set()
    world.container.reply_log().wake_all()
    watching.join(10)
    waiting.join(10)

    assert not watching.is_alive()
    assert not waiting.is_alive()
    assert seen == []


def test_a_watcher_of_a_log_that_is_gone_gets_one_snapshot(world: World) -> None:
    reply = world.ask()
    world.model.say("Gone")
    world.model.finish()
    world.app.replies.generate(reply)
    log = world.container.reply_log()
    assert isinstance(log, InProcessReplyLog)
    log._logs.clear()

    batches = world.app.replies.watch(WatchReply(principal=ALICE, reply_id=reply, after=0))
    assert batches is not None
    entries = [entry for batch in batches for entry in batch]

    assert [entry.event for entry in entries] == ["reply.completed"]
    assert entries[0].seq == world.stored(reply)["final_seq"]
    assert entries[0].data["message"]["content"] == "Gone"
    assert world.app.replies.watch(WatchReply(principal=ALICE, reply_id=reply, after=entries[0].seq)) is None


def test_every_event_of_the_outbox_is_delivered_and_forgotten(world: World) -> None:
    world.ask()

    outbox = world.container.outbox()
    assert outbox.age() > timedelta()
    world.app.relay()

    assert outbox.age() == timedelta()


def _endings(caplog: pytest.LogCaptureFixture) -> list[tuple[object, ...]]:
    """What the log says of how replies ended: the reply, the level, and the code of its error."""
    told = [vars(line) for line in caplog.records if line.name == "application.replies.ending"]
    return [(line["reply_id"], line["levelname"], line.get("error_code")) for line in told]


def test_the_pace_follows_the_design() -> None:
    pace = Pace()

    assert 0.025 <= pace.coalesce <= 0.05
    assert pace.checkpoint <= 0.5
    assert pace.renew * 3 == LEASE.total_seconds()
