"""What is kept for how long, when a deletion is past undoing, and how the erased are remembered."""

from __future__ import annotations

from collections.abc import Set
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from application.ports.persistence import StorageUnavailable
from application.ports.runtime import VerifiedToken
from application.retention.marks import Marks, TokensOfTheLiving
from domain.deletions import Subject
from domain.errors import Conflict, TokenInvalid
from domain.identity import Principal, PrincipalKind
from domain.retention import Retention
from tests.builders import ALICE, NOW, a_conversation, a_deletion, a_room, asked, later

VISITOR = Principal(PrincipalKind.VISITOR, str(uuid4()))


class TestDeletions:
    def test_a_deletion_cannot_be_undone_once_its_purge_has_begun(self) -> None:
        deletion = a_deletion(Subject.ROOM, uuid4())
        deletion.begin_purge(later(1))

        with pytest.raises(Conflict) as refused:
            deletion.restore(later(2))

        assert (refused.value.slug, deletion.restored_at) == ("being_purged", None)

    def test_beginning_twice_is_beginning_once(self) -> None:
        deletion = a_deletion(Subject.ROOM, uuid4())
        deletion.begin_purge(later(1))
        deletion.begin_purge(later(2))

        assert deletion.purging_since == later(1)

    def test_what_was_restored_is_not_purged(self) -> None:
        deletion = a_deletion(Subject.JOB_ANALYSIS, uuid4())
        deletion.restore(later(1))

        with pytest.raises(Conflict, match="This job analysis was restored"):
            deletion.begin_purge(later(2))


class TestIdleness:
    def test_a_room_is_active_by_itself_or_by_a_conversation(self) -> None:
        room, conversation = a_room(), a_conversation()
        room.require_idle([conversation], later(1))

        with pytest.raises(Conflict):
            room.require_idle([conversation], NOW)
        with pytest.raises(Conflict):
            room.require_idle([conversation, a_conversation(now=later(5))], later(1))

    def test_a_conversation_with_a_reply_in_the_making_is_active(self) -> None:
        conversation = a_conversation()
        asked(conversation)

        assert conversation.is_active(later(60))

    def test_zero_days_are_never(self) -> None:
        assert Retention(rooms=0).rooms_before(NOW) is None
        assert Retention(rooms=2, conversations=3).rooms_before(NOW) == NOW - timedelta(days=2)
        assert Retention(rooms=2, conversations=3).conversations_before(NOW) == NOW - timedelta(days=3)


class TestMarks:
    def test_a_mark_tells_nothing_without_the_secret(self) -> None:
        one, other = Marks(["one secret"]), Marks(["another"])

        assert one.of(ALICE.key) != other.of(ALICE.key)
        assert len(one.of(ALICE.key)) == 64
        assert "alice" not in one.of(ALICE.key)

    def test_a_mark_of_before_the_secret_was_changed_is_known(self) -> None:
        before, after = Marks(["old"]), Marks(["new", "old"])

        assert before.of(ALICE.key) in after.all_of(ALICE.key)
        assert after.of(ALICE.key) not in before.all_of(ALICE.key)


class TestTokens:
    def test_a_visitors_token_is_good_until_the_visitor_is_erased(self) -> None:
        purges = _Purges()
        tokens = living(purges, VISITOR)
        assert tokens.verify("token").principal == VISITOR

        purges.found = {Marks(["secret"]).of(VISITOR.key)}
        tokens.look()

        with pytest.raises(TokenInvalid):
            tokens.verify("token")

    def test_a_process_that_has_just_begun_knows_too(self) -> None:
        purges = _Purges()
        purges.found = {Marks(["secret"]).of(VISITOR.key)}

        with pytest.raises(TokenInvalid):
            living(purges, VISITOR).verify("token")

    def test_a_users_token_is_the_host_products(self) -> None:
        purges = _Purges()
        purges.found = {Marks(["secret"]).of(ALICE.key)}

        assert living(purges, ALICE).verify("token").principal == ALICE

    def test_tokens_are_verified_while_the_database_is_away(self) -> None:
        purges = _Purges()
        purges.is_away = True

        assert living(purges, VISITOR).verify("token").principal == VISITOR


class _Purges:
    """The part of application.ports.retention.Purges that tells who was erased."""

    def __init__(self) -> None:
        self.found: Set[str] = set()
        self.is_away = False

    def marks(self, since: datetime) -> Set[str]:
        assert since == NOW - timedelta(days=30)
        if self.is_away:
            raise StorageUnavailable("It is away.")
        return self.found


class _Tokens:
    """See application.ports.runtime.Tokens: every token is the same principal's."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal

    def issue(self, principal: Principal, lifetime: timedelta) -> tuple[str, datetime]:
        return "token", NOW + lifetime

    def verify(self, token: str) -> VerifiedToken:
        return VerifiedToken(self._principal, later(60))


def living(purges: Any, principal: Principal) -> TokensOfTheLiving:
    return TokensOfTheLiving(_Tokens(principal), purges, Marks(["secret"]), lambda: NOW, timedelta(days=30))
