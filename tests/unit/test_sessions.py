"""Sessions: until when they last, what they carry, how they end."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from domain.errors import Conflict, Invalid
from domain.events import SessionClosed, SessionOpened
from domain.limits import Limits
from domain.sessions import OWN, CloseReason, Lifetime, binding_to
from tests.builders import NOW, a_session, later

_LIFETIME = Lifetime(total=timedelta(minutes=60), idle=timedelta(minutes=10))


def test_a_session_is_bound_to_a_room_a_conversation_or_to_nothing() -> None:
    room, conversation = uuid4(), uuid4()

    assert binding_to(room_id=room, conversation_id=None) == f"room:{room}"
    assert binding_to(room_id=None, conversation_id=conversation) == f"conversation:{conversation}"
    assert binding_to(room_id=None, conversation_id=None) == OWN
    with pytest.raises(Invalid):
        binding_to(room_id=room, conversation_id=conversation)


def test_a_session_expires_when_it_gives_no_sign_of_life() -> None:
    session = a_session(lifetime=_LIFETIME)

    assert session.is_open(later(9.9))
    assert not session.is_open(later(10))


def test_signs_of_life_keep_it_open_until_its_absolute_end() -> None:
    session = a_session(lifetime=_LIFETIME)

    for minute in range(5, 60, 5):
        session.touch(_LIFETIME, later(minute))

    assert session.expires_at == session.ends_at == later(60)
    assert not session.is_open(later(60))


def test_what_has_expired_cannot_be_woken() -> None:
    session = a_session(lifetime=_LIFETIME)

    with pytest.raises(Conflict) as conflict:
        session.touch(_LIFETIME, later(11))

    assert conflict.value.slug == "session_expired"
    assert session.active_at == NOW


def test_a_session_is_closed_once_and_says_why() -> None:
    session = a_session(lifetime=_LIFETIME)
    session.close(CloseReason.CROWDED_OUT, later(1))
    session.close(CloseReason.CLOSED, later(2))

    opened, closed = session.release_events()

    assert isinstance(opened, SessionOpened)
    assert isinstance(closed, SessionClosed)
    assert (session.closed_at, session.close_reason, closed.reason) == (later(1), "crowded_out", "crowded_out")
    with pytest.raises(Conflict) as conflict:
        session.require_open(later(2))
    assert conflict.value.slug == "session_closed"


def test_what_is_closed_after_it_expired_has_expired() -> None:
    session = a_session(lifetime=_LIFETIME)

    session.close(CloseReason.CLOSED, later(11))

    assert session.close_reason is CloseReason.EXPIRED


def test_the_context_is_merged_and_null_takes_away() -> None:
    session = a_session(context={"profile": {"name": "Zoë"}, "page": 1})

    session.change_context({"page": None, "navigation": {"path": "/"}}, Limits())

    assert session.context == {"profile": {"name": "Zoë"}, "navigation": {"path": "/"}}


def test_a_context_that_grows_too_large_is_refused_and_stays() -> None:
    session = a_session(context={"a": "x" * 6000})

    with pytest.raises(Invalid) as invalid:
        session.change_context({"b": "y" * 6000}, Limits())

    assert list(invalid.value.fields) == ["context"]
    assert list(session.context) == ["a"]


@pytest.mark.parametrize("rating", [0, 6, -1])
def test_a_rating_is_from_one_to_five(rating: int) -> None:
    session = a_session()

    with pytest.raises(Invalid):
        session.rate(rating, None, Limits())

    assert session.rating is None
