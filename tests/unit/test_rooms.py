"""What a room decides by itself."""

from __future__ import annotations

import pytest

from domain.deletions import Subject
from domain.errors import Conflict, Forbidden, Invalid
from domain.events import RoomChanged, RoomDeleted, RoomOpened, RoomRestored
from domain.limits import Limits
from tests.builders import ADMIN, ALICE, BOB, NOW, a_deletion, a_room, later


def test_a_room_is_opened_for_its_owner_and_says_so() -> None:
    room = a_room(name="  Plans ")

    assert (room.name, room.owner) == ("Plans", "user:alice")
    assert [RoomOpened(subject_id=room.id, at=NOW)] == room.release_events()
    assert room.release_events() == []


@pytest.mark.parametrize("name", ["", " \n ", "x" * 101, "a\x00b"])
def test_a_name_has_one_to_a_hundred_characters(name: str) -> None:
    with pytest.raises(Invalid) as refusal:
        a_room(name=name)

    assert list(refusal.value.details["fields"]) == ["name"]  # type: ignore[call-overload] # a dict


def test_metadata_counts_in_bytes_of_json() -> None:
    a_room(metadata={"k": "é" * 5_000})

    with pytest.raises(Invalid):
        a_room(metadata={"k": "é" * 5_121})


def test_a_room_more_than_the_limit_is_refused() -> None:
    with pytest.raises(Conflict) as refusal:
        a_room(rooms_so_far=50)

    assert refusal.value.slug == "room_limit_reached"


def test_changing_leaves_what_is_not_given() -> None:
    room = a_room(name="Old", metadata={"a": 1})
    room.release_events()

    room.change(name=None, metadata={"b": 2}, limits=Limits(), now=later())

    assert (room.name, room.metadata, room.updated_at) == ("Old", {"b": 2}, later())
    assert [RoomChanged(subject_id=room.id, at=later())] == room.release_events()


def test_only_the_deletion_that_took_a_room_brings_it_back() -> None:
    room = a_room()
    room.release_events()
    deletion, another = a_deletion(Subject.ROOM, room.id), a_deletion(Subject.ROOM, room.id)
    room.delete(deletion)

    with pytest.raises(Conflict):
        room.restore(another, later())
    room.restore(deletion, later())

    assert room.deletion_id is None
    assert [RoomDeleted, RoomRestored] == [type(event) for event in room.release_events()]


def test_a_deletion_is_undone_once() -> None:
    deletion = a_deletion(Subject.ROOM, a_room().id)
    deletion.restore(later())

    with pytest.raises(Conflict):
        deletion.restore(later())


def test_a_room_is_its_owners_and_an_admins() -> None:
    room = a_room(ALICE)

    ALICE.authorise(room, "room")
    ADMIN.authorise(room, "room")
    with pytest.raises(Forbidden):
        BOB.authorise(room, "room")
