"""What every store of idempotency keys must do, together with its unit of work."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from adapters.sql.engine import Database
from adapters.sql.idempotency import SqlIdempotencyKeys
from application.idempotency import Idempotency
from application.ports.persistence import Document, IdempotencyKeys, Once, StartWork
from domain.errors import Conflict, Invalid
from tests.builders import ALICE, BOB, NOW, a_room, later
from tests.contracts.databases import OnPostgres, OnSqlite


def once(**given: Any) -> Once:
    defaults: dict[str, Any] = {"owner": ALICE.key, "key": "k", "fingerprint": "f" * 64, "attempt": uuid4()}
    return Once(**(defaults | given))


def begin(keys: IdempotencyKeys, attempt: Once, minutes: float = 0) -> Document | None:
    now = later(minutes)
    return keys.begin(attempt, until=now + timedelta(minutes=1), expires_at=now + timedelta(hours=1), now=now)


def keep(start_work: StartWork, attempt: Once, answer: Document) -> None:
    with start_work() as work:
        work.answers.keep(attempt, answer)
        work.commit()


class IdempotencyKeysContract:
    @pytest.fixture
    def keys(self) -> IdempotencyKeys:
        raise NotImplementedError

    @pytest.fixture
    def start_work(self) -> StartWork:
        raise NotImplementedError

    def test_an_answer_is_kept_with_the_write_and_given_again(
        self, keys: IdempotencyKeys, start_work: StartWork
    ) -> None:
        first = once()
        assert begin(keys, first) is None
        keep(start_work, first, {"id": ALICE.key, "at": NOW})

        for _ in range(2):
            assert begin(keys, once()) == {"id": ALICE.key, "at": NOW.isoformat()}
        assert begin(keys, once(owner=BOB.key)) is None
        assert begin(keys, once(key="another")) is None

    def test_while_one_attempt_is_at_work_another_is_a_conflict(self, keys: IdempotencyKeys) -> None:
        begin(keys, once())

        with pytest.raises(Conflict) as conflict:
            begin(keys, once())

        assert conflict.value.slug == "idempotency_key_in_use"

    def test_another_request_with_the_key_is_invalid_at_work_or_done(
        self, keys: IdempotencyKeys, start_work: StartWork
    ) -> None:
        first = once()
        begin(keys, first)
        for _ in "at work", "done":
            with pytest.raises(Invalid):
                begin(keys, once(fingerprint="e" * 64))
            keep(start_work, first, {})

    def test_what_is_rolled_back_keeps_no_answer(self, keys: IdempotencyKeys, start_work: StartWork) -> None:
        first = once()
        begin(keys, first)
        with start_work() as work:
            work.rooms.add(a_room())
            work.answers.keep(first, {})

        keys.abandon(first)

        assert begin(keys, once()) is None

    def test_abandoning_what_was_done_changes_nothing(self, keys: IdempotencyKeys, start_work: StartWork) -> None:
        """The commit may have succeeded though its caller never learnt of it."""
        first = once()
        begin(keys, first)
        keep(start_work, first, {"done": True})

        keys.abandon(first)

        assert begin(keys, once()) == {"done": True}

    def test_whoever_died_at_work_is_replaced_and_can_write_nothing_any_more(
        self, keys: IdempotencyKeys, start_work: StartWork
    ) -> None:
        dead, heir = once(), once()
        begin(keys, dead)

        assert begin(keys, heir, minutes=2) is None

        with pytest.raises(Conflict):
            keep(start_work, dead, {"by": "the dead"})
        keys.abandon(dead)
        keep(start_work, heir, {"by": "the heir"})
        assert begin(keys, once(), minutes=3) == {"by": "the heir"}

    def test_a_key_is_free_again_when_its_time_is_over(self, keys: IdempotencyKeys, start_work: StartWork) -> None:
        first = once()
        begin(keys, first)
        keep(start_work, first, {})

        assert begin(keys, once(fingerprint="e" * 64), minutes=61) is None

    def test_keys_are_forgotten_when_their_time_is_over(self, keys: IdempotencyKeys) -> None:
        for number in range(5):
            begin(keys, once(key=str(number)), minutes=number)

        forgotten = [keys.forget_expired(later(62.5), limit=2) for _ in range(3)]

        assert forgotten == [2, 1, 0]

    def test_what_raises_may_be_tried_again_and_what_is_done_is_done_once(
        self, keys: IdempotencyKeys, start_work: StartWork
    ) -> None:
        idempotency = Idempotency(keys, lambda: NOW, timedelta(hours=1))
        done: list[Once] = []

        def fail() -> Document:
            raise Conflict("reply_in_progress", "Not now.")

        def do(attempt: Once) -> Document:
            done.append(attempt)
            keep(start_work, attempt, {"number": len(done)})
            return {"number": len(done)}

        with pytest.raises(Conflict, match="Not now"):
            idempotency(once(), fail)
        answers = [idempotency(attempt, partial(do, attempt)) for attempt in (once(), once())]

        assert answers == [({"number": 1}, False), ({"number": 1}, True)]


class TestSqliteIdempotencyKeys(OnSqlite, IdempotencyKeysContract):
    @pytest.fixture
    def keys(self, database: Database) -> IdempotencyKeys:
        return SqlIdempotencyKeys(database)


class TestPostgresIdempotencyKeys(OnPostgres, TestSqliteIdempotencyKeys):
    """On PostgreSQL."""
