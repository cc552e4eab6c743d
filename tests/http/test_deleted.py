"""What was deleted is found again by whoever deleted it, over HTTP."""

from __future__ import annotations

import pytest
from marshmallow import Schema

from entrypoints.http.conversations import ConversationOut
from entrypoints.http.documents import DocumentOut
from entrypoints.http.job_analyses import JobAnalysisItemOut
from entrypoints.http.projects import ProjectOut
from entrypoints.http.rooms import RoomOut
from tests.http.test_openapi import fits
from tests.parley_process import Client, ParleyProcess


def test_everything_that_was_deleted_is_listed_until_it_is_restored(parley: ParleyProcess) -> None:
    user = parley.user("who-deletes")
    project = user.data("POST", "/projects", {"name": "Deleted"})["id"]
    things: list[tuple[str, str, type[Schema]]] = [
        ("documents", user.data("POST", "/documents", {"project_id": project, "text": "Hello"})["id"], DocumentOut),
        ("projects", project, ProjectOut),
        ("conversations", user.conversation(title="Deleted"), ConversationOut),
        ("rooms", user.room("Deleted"), RoomOut),
        ("job-analyses", user.data("POST", "/job-analyses", {"text": "Requirements: Zig"})["id"], JobAnalysisItemOut),
    ]
    for name, thing, _ in things:
        deletion = user.data("DELETE", f"/{name}/{thing}")
        (item,) = user.data("GET", f"/{name}", params={"deleted": True})["items"]
        assert item["id"] == thing
        assert (
            item["deletion"].items()
            >= {
                "id": deletion["id"],
                "subject": deletion["subject"],
                "subject_id": thing,
                "deleted_at": deletion["deleted_at"],
            }.items()
        )
        assert item["deletion"]["restorable_until"] > item["deletion"]["deleted_at"]
    for name, thing, schema in reversed(things):
        found = user.data("GET", f"/{name}", params={"deleted": True})
        assert found["total"] == 1
        fits(schema, found["items"][0])
        restored = user.data("POST", f"/{name}/{thing}/restore")
        assert "deletion" not in restored
        assert user.data("GET", f"/{name}", params={"deleted": True})["total"] == 0
        assert [item["id"] for item in user.data("GET", f"/{name}")["items"]] == [thing]


@pytest.mark.parametrize("name", ["rooms", "conversations", "projects", "documents", "job-analyses"])
def test_nobody_is_shown_what_somebody_else_deleted(parley: ParleyProcess, name: str) -> None:
    alice, bob, admin = parley.user("alice-who-deletes"), parley.user("bob-who-looks"), parley.user("root", "admin")
    project = alice.data("POST", "/projects", {"name": f"Of {name}"})["id"]
    body = {
        "rooms": {"name": "Room"},
        "conversations": {},
        "projects": {"name": f"Gone {name}"},
        "documents": {"project_id": project, "text": "Hello"},
        "job-analyses": {"text": "Requirements: Zig"},
    }[name]
    thing = alice.data("POST", f"/{name}", body)["id"]
    alice.data("DELETE", f"/{name}/{thing}")

    assert thing in {item["id"] for item in alice.data("GET", f"/{name}?deleted=true")["items"]}
    for other in bob, admin, parley.visitor():
        assert thing not in {item["id"] for item in other.data("GET", f"/{name}?deleted=true")["items"]}


def test_what_is_not_deleted_says_nothing_of_a_deletion(visitor: Client) -> None:
    visitor.room()

    (item,) = visitor.data("GET", "/rooms?deleted=false")["items"]

    assert "deletion" not in item
    assert visitor.data("GET", "/rooms?deleted=true")["items"] == []


def test_admins_find_what_was_deleted_in_somebody_elses_room(visitor: Client, parley: ParleyProcess) -> None:
    room = visitor.room()
    conversation = visitor.conversation(room_id=room)
    visitor.data("DELETE", f"/conversations/{conversation}")
    wanted = {"room_id": room, "deleted": True}

    found = parley.user("root", "admin").data("GET", "/conversations", params=wanted)

    assert [item["id"] for item in found["items"]] == [conversation]
    assert parley.visitor().error("GET", "/conversations", params=wanted)["error_code"] == "forbidden"
