"""Nobody gets at anybody else's things: strangers, and tokens that are no good, walk every route of the app.

The walk fails when the app has a route that it does not know.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import pytest

from entrypoints.container import Container
from entrypoints.http.app import create_app
from entrypoints.settings import Settings
from entrypoints.websocket.chat import ChatSockets
from entrypoints.websocket.frames import FRAMES
from entrypoints.websocket.sockets import Sockets
from tests.chat_socket import chatting
from tests.parley_process import Client, ParleyProcess
from tests.waiting import eventually

_SECRET = "what only Alice may know"

_SAID = [{"role": "user", "parts": [{"type": "text", "text": "What does Alice know?"}]}]


@dataclass(frozen=True)
class Route:
    """How a route is asked for Alice's things, in whose ids `{names}` are replaced."""

    path: str
    body: dict[str, Any] | None = None
    foreign: bool = True
    """Whether it names something of Alice's, so that a stranger is refused; else it can only show one's own."""
    admin: bool = False
    """Whether it is for admins alone, so that Alice is refused too."""
    public: bool = False
    """Whether nobody needs to be known for it."""
    status: int = 200
    """How a stranger is answered who asks for their own; any success unless it says otherwise."""

    def of(self, ids: dict[str, str]) -> tuple[str, dict[str, Any] | None]:
        """Path and body for these things of Alice's."""
        return self.path.format(**ids), _filled(self.body, ids)


def _filled(body: dict[str, Any] | None, ids: dict[str, str]) -> dict[str, Any] | None:
    if body is None:
        return None
    return {
        name: _filled(value, ids) if isinstance(value, dict) else ids.get(str(value).strip("{}"), value)
        for name, value in body.items()
    }


_HI = {"role": "user", "content": "Hi"}


def own(path: str, body: dict[str, Any] | None = None) -> Route:
    return Route(path, body, foreign=False)


def public(path: str, body: dict[str, Any] | None = None) -> Route:
    return Route(path, body, foreign=False, public=True)


_ROUTES: dict[str, list[Route]] = {
    "agents.list_agents GET": [public("/api/v1/agents")],
    "ai_sdk.read_chat GET": [public("/api/chat/walk"), public("/api/chat/walk?limit=1")],
    "ai_sdk.resume_chat GET": [public("/api/chat/walk/stream")],
    "ai_sdk.send_chat POST": [
        public("/api/chat", {"id": "walk", "messages": _SAID}),
        Route("/api/chat", {"id": "room", "room_id": "{room}", "messages": _SAID}),
        Route("/api/chat", {"id": "project", "project_id": "{project}", "messages": _SAID}),
    ],
    "ai_sdk.stop_chat POST": [own("/api/chat/walk/stop")],
    "cache.cache_stats GET": [Route("/api/v1/cache/stats/", admin=True)],
    "cache.clear_cache POST": [Route("/api/v1/cache/clear/", {}, admin=True)],
    "chat.chat POST": [public("/api/v1/chat/", {"question": "What does Alice know?"})],
    "chat.chat_history GET": [own("/api/v1/chat/history/")],
    "chat.chat_with_timeout POST": [public("/api/v1/chat/timeout/", {"question": "What does Alice know?"})],
    "chat.clear_chat POST": [own("/api/v1/chat/clear/")],
    "chat_completions.create_chat_completion POST": [
        Route(
            "/v1/chat/completions",
            {"model": "general", "messages": [_HI], "metadata": {"conversation_id": "{conversation}"}},
        ),
        own("/v1/chat/completions", {"model": "general", "messages": [_HI]}),
    ],
    "conversations.ask POST": [Route("/api/v1/conversations/{conversation}/messages", {"content": "Hi"})],
    "conversations.change_conversation PATCH": [Route("/api/v1/conversations/{conversation}", {"title": "Mine now"})],
    "conversations.delete_conversation DELETE": [Route("/api/v1/conversations/{conversation}")],
    "conversations.get_conversation GET": [
        Route("/api/v1/conversations/{conversation}"),
        Route("/api/v1/conversations/{deleted}"),
    ],
    "conversations.list_conversations GET": [
        own("/api/v1/conversations"),
        own("/api/v1/conversations?deleted=true"),
        Route("/api/v1/conversations?room_id={room}"),
        Route("/api/v1/conversations?room_id={room}&deleted=true"),
    ],
    "conversations.list_messages GET": [Route("/api/v1/conversations/{conversation}/messages")],
    "conversations.restore_conversation POST": [Route("/api/v1/conversations/{deleted}/restore")],
    "conversations.start_conversation POST": [
        Route("/api/v1/conversations", {"room_id": "{room}"}),
        Route("/api/v1/conversations", {"project_id": "{project}"}),
        own("/api/v1/conversations", {"title": "Mine"}),
    ],
    "documents.add_document POST": [Route("/api/v1/documents", {"project_id": "{project}", "text": "Mine now"})],
    "documents.change_document PATCH": [Route("/api/v1/documents/{document}", {"title": "Mine now"})],
    "documents.delete_document DELETE": [Route("/api/v1/documents/{document}")],
    "documents.get_content GET": [Route("/api/v1/documents/{document}/content")],
    "documents.get_document GET": [Route("/api/v1/documents/{document}")],
    "documents.list_documents GET": [
        own("/api/v1/documents"),
        own("/api/v1/documents?deleted=true"),
        Route("/api/v1/documents?project_id={project}"),
        Route("/api/v1/documents?project_id={deleted_project}&deleted=true"),
    ],
    "documents.reingest_document POST": [Route("/api/v1/documents/{document}/ingest")],
    "documents.replace_content PUT": [Route("/api/v1/documents/{document}/content", {"text": "Mine now"})],
    "documents.restore_document POST": [Route("/api/v1/documents/{deleted_document}/restore")],
    "exports.export_conversation GET": [
        Route("/api/v1/conversations/{conversation}/export"),
        Route("/api/v1/conversations/{conversation}/export?format=markdown"),
    ],
    "exports.export_everything GET": [own("/api/v1/export")],
    "exports.export_room GET": [Route("/api/v1/rooms/{room}/export"), Route("/api/v1/rooms/{room}/export?format=pdf")],
    "health.healthz GET": [public("/healthz")],
    "health.readyz GET": [public("/readyz")],
    "health.health GET": [public("/api/health")],
    "metrics.metrics GET": [public("/metrics")],
    "identity.login POST": [own("/api/v1/login")],
    "identity.logout POST": [public("/api/v1/logout")],
    "identity.me GET": [own("/api/v1/me")],
    "job_analyses.analyse_job POST": [
        own("/api/v1/job-analyses", {"text": "Requirements: Zig"}),
        Route("/api/v1/job-analyses", {"text": "Requirements: Zig", "project_id": "{project}"}),
    ],
    "job_analyses.delete_job_analysis DELETE": [Route("/api/v1/job-analyses/{analysis}")],
    "job_analyses.get_job_analysis GET": [Route("/api/v1/job-analyses/{analysis}")],
    "job_analyses.list_job_analyses GET": [own("/api/v1/job-analyses"), own("/api/v1/job-analyses?deleted=true")],
    "job_analyses.restore_job_analysis POST": [Route("/api/v1/job-analyses/{deleted_analysis}/restore")],
    "knowledge.search_knowledge GET": [
        own("/api/v1/knowledge/search?q=alice"),
        Route("/api/v1/knowledge/search?q=alice&project_id={project}"),
    ],
    "messages.edit POST": [Route("/api/v1/messages/{question}/edit", {"content": "I meant this"})],
    "messages.give_feedback PUT": [Route("/api/v1/messages/{reply}/feedback", {"rating": "down"})],
    "messages.list_versions GET": [Route("/api/v1/messages/{reply}/versions")],
    "messages.select POST": [Route("/api/v1/messages/{reply}/select")],
    "messages.take_feedback_back DELETE": [Route("/api/v1/messages/{reply}/feedback")],
    "models.get_model GET": [own("/v1/models/general")],
    "models.list_models GET": [own("/v1/models")],
    "openai_conversations.create_conversation POST": [own("/v1/conversations", {"items": [_HI]})],
    "openai_conversations.create_items POST": [Route("/v1/conversations/{conversation}/items", {"items": [_HI]})],
    "openai_conversations.get_item GET": [Route("/v1/conversations/{conversation}/items/{reply}")],
    "openai_conversations.list_items GET": [
        Route("/v1/conversations/{conversation}/items"),
        Route("/v1/conversations/{conversation}/items?after={reply}"),
    ],
    "openai_conversations.remove_conversation DELETE": [Route("/v1/conversations/{conversation}")],
    "openai_conversations.retrieve_conversation GET": [Route("/v1/conversations/{conversation}")],
    "openai_conversations.update_conversation POST": [
        Route("/v1/conversations/{conversation}", {"metadata": {"mine": True}})
    ],
    "page.index GET": [public("/")],
    "projects.change_project PATCH": [Route("/api/v1/projects/{project}", {"name": "Mine now"})],
    "projects.delete_project DELETE": [Route("/api/v1/projects/{project}")],
    "projects.get_project GET": [Route("/api/v1/projects/{project}")],
    "projects.list_projects GET": [
        own("/api/v1/projects"),
        own("/api/v1/projects?visible=true"),
        own("/api/v1/projects?visible=true&deleted=true"),
    ],
    "projects.open_project POST": [Route("/api/v1/projects", {"name": "Mine"}, foreign=False, status=403)],
    "projects.restore_project POST": [Route("/api/v1/projects/{deleted_project}/restore")],
    "reference.docs GET": [public("/docs")],
    "reference.openapi_json GET": [public("/openapi.json")],
    "reference.redoc GET": [public("/redoc")],
    "replies.cancel_reply POST": [Route("/api/v1/replies/{reply}/cancel")],
    "replies.get_reply GET": [Route("/api/v1/replies/{reply}")],
    "replies.regenerate_reply POST": [Route("/api/v1/replies/{reply}/regenerate")],
    "replies.watch_reply GET": [
        Route("/api/v1/replies/{reply}/events"),
        Route("/api/v1/replies/{reply}/events?after=999999"),
    ],
    "responses.cancel_response POST": [Route("/v1/responses/{reply}/cancel")],
    "responses.create_response POST": [
        Route("/v1/responses", {"input": "Hi", "conversation": "{conversation}"}),
        Route("/v1/responses", {"input": "Hi", "previous_response_id": "{reply}"}),
        own("/v1/responses", {"input": "Hi"}),
    ],
    "responses.get_response GET": [
        Route("/v1/responses/{reply}"),
        Route("/v1/responses/{reply}?stream=true&starting_after=999999"),
    ],
    "responses.list_input_items GET": [Route("/v1/responses/{reply}/input_items")],
    "rooms.change_room PATCH": [Route("/api/v1/rooms/{room}", {"name": "Mine now"})],
    "rooms.delete_room DELETE": [Route("/api/v1/rooms/{room}")],
    "rooms.get_room GET": [Route("/api/v1/rooms/{room}")],
    "rooms.list_rooms GET": [own("/api/v1/rooms"), own("/api/v1/rooms?deleted=true")],
    "rooms.open_room POST": [own("/api/v1/rooms", {"name": "Mine"})],
    "rooms.restore_room POST": [Route("/api/v1/rooms/{room}/restore")],
    "rooms.room_history GET": [Route("/api/v1/rooms/{room}/history")],
    "search.search_messages GET": [own("/api/v1/search?q=alice")],
    "sessions.ask_in_session POST": [Route("/api/v1/sessions/{session}/messages", {"content": "Hi"})],
    "sessions.change_context PATCH": [Route("/api/v1/sessions/{session}/context", {"context": {"mine": True}})],
    "sessions.clear_history DELETE": [Route("/api/v1/sessions/{session}/history")],
    "sessions.close_session DELETE": [Route("/api/v1/sessions/{session}")],
    "sessions.get_session GET": [Route("/api/v1/sessions/{session}")],
    "sessions.list_sessions GET": [own("/api/v1/sessions?status=all")],
    "sessions.open_session POST": [
        Route("/api/v1/sessions", {"room_id": "{room}"}),
        Route("/api/v1/sessions", {"conversation_id": "{conversation}"}),
        own("/api/v1/sessions", {}),
    ],
    "sessions.rate_session PUT": [Route("/api/v1/sessions/{session}/rating", {"rating": 1})],
    "sessions.reset_session POST": [Route("/api/v1/sessions/{session}/reset", {})],
    "sessions.session_history GET": [Route("/api/v1/sessions/{session}/history")],
    "sessions.stop_session POST": [Route("/api/v1/sessions/{session}/stop")],
    "static GET": [public("/static/web/app.js")],
    "statistics.conversation_statistics GET": [
        own("/api/v1/conversations/stats/"),
        Route("/api/v1/conversations/stats/?scope=all", admin=True),
    ],
    "statistics.feedback_statistics GET": [
        own("/api/v1/feedback/stats/"),
        Route("/api/v1/feedback/stats/?scope=all", admin=True),
    ],
    "statistics.job_analysis_statistics GET": [
        own("/api/v1/job-analyses/stats/"),
        Route("/api/v1/job-analyses/stats/?scope=all", admin=True),
    ],
    "statistics.project_statistics GET": [
        own("/api/v1/projects/stats/"),
        Route("/api/v1/projects/stats/?scope=all", admin=True),
    ],
    "statistics.reply_statistics GET": [
        own("/api/v1/replies/stats/"),
        Route("/api/v1/replies/stats/?scope=all", admin=True),
    ],
    "statistics.room_statistics GET": [
        own("/api/v1/rooms/stats/"),
        Route("/api/v1/rooms/stats/?scope=all", admin=True),
    ],
    "statistics.visitor_statistics GET": [Route("/api/v1/visitors/stats/", admin=True)],
    "visitors.claim POST": [Route("/api/v1/visitors/claim", {"token": "{token}"})],
    "visitors.welcome POST": [public("/api/v1/visitors")],
    "websocket.chat GET": [Route("/ws/chat/", foreign=False, status=426)],
}

# How each frame would get at Alice's things; what it cannot name is tried all the same.
_FRAMES: dict[str, list[dict[str, Any]]] = {
    "session_init": [
        {"session_id": "{session}"},
        {"room_id": "{room}"},
        {"conversation_id": "{conversation}"},
        {"conversation_id": "{deleted}"},
    ],
    "resume": [{"reply_id": "{reply}"}, {"reply_id": "{reply}", "after": 999_999}],
    "message": [{"content": "What does Alice know?"}],
    "typing": [{}],
    "stop": [{}],
    "context": [{"context": {"mine": True}}],
    "reset": [{}],
    "ping": [{}],
    "session_close": [{"rating": 1}],
}


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """Every route of the app, by endpoint and method."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARLEY_DATA_DIR", str(tmp_path_factory.mktemp("routes")))
        container = Container(settings=Settings.from_environment())
    application, settings = container.application(), container.settings()
    chats = ChatSockets(application, settings.limits, settings.session_idle)
    app = create_app(application, settings, container.ids(), {}, Sockets(1), chats, lambda samples: b"")
    yield {
        f"{rule.endpoint} {method}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    container.database().dispose()


@pytest.fixture(scope="module")
def alice(parley: ParleyProcess) -> Client:
    return parley.user("alice-of-the-walk")


@pytest.fixture(scope="module")
def things(parley: ParleyProcess, alice: Client) -> dict[str, str]:
    """One of each thing that Alice can have."""
    room = alice.room(_SECRET)
    conversation = alice.conversation(room_id=room, title=_SECRET)
    reply = alice.answer(conversation, _SECRET)["id"]
    question = alice.messages(conversation)[0]["id"]
    deleted = alice.conversation(title=_SECRET)
    alice.data("DELETE", f"/conversations/{deleted}")
    session = alice.data("POST", "/sessions", {"room_id": room, "context": {"secret": _SECRET}})["id"]
    alice.data("PUT", f"/sessions/{session}/rating", {"rating": 5})
    project, deleted_project = (alice.data("POST", "/projects", {"name": _SECRET})["id"] for _ in range(2))
    document, deleted_document = (
        alice.data("POST", "/documents", {"project_id": project, "text": _SECRET, "title": _SECRET, "name": name})["id"]
        for name in ("kept.md", "deleted.md")
    )
    alice.data("DELETE", f"/documents/{deleted_document}")
    alice.data("DELETE", f"/projects/{deleted_project}")
    eventually(lambda: alice.data("GET", f"/documents/{document}")["progress"] is None)
    analysis, deleted_analysis = (alice.data("POST", "/job-analyses", {"text": _SECRET})["id"] for _ in range(2))
    alice.data("DELETE", f"/job-analyses/{deleted_analysis}")
    eventually(lambda: alice.data("GET", f"/job-analyses/{analysis}")["progress"] is None)
    return {
        "analysis": analysis,
        "deleted_analysis": deleted_analysis,
        "project": project,
        "deleted_project": deleted_project,
        "document": document,
        "deleted_document": deleted_document,
        "room": room,
        "conversation": conversation,
        "question": question,
        "reply": reply,
        "deleted": deleted,
        "session": session,
        "token": alice.token,  # Of a user: nobody may claim one.
    }


def state(alice: Client, things: dict[str, str]) -> list[Any]:
    """All that Alice sees of her things."""
    return [
        alice.data("GET", path.format(**things))
        for path in (
            "/rooms",
            "/conversations",
            "/conversations/{conversation}/messages",
            "/replies/{reply}",
            "/sessions/{session}",
            "/messages/{reply}/versions",
            "/messages/{question}/versions",
            "/projects",
            "/documents",
            "/job-analyses",
            "/conversations?deleted=true",
            "/projects?deleted=true",
            "/documents?deleted=true",
            "/job-analyses?deleted=true",
        )
    ] + [alice.call("GET", f"/conversations/{things['deleted']}").status_code]


def request(
    parley: ParleyProcess, alice: Client, route: str, way: Route, things: dict[str, str], token: str | None
) -> httpx.Response:
    """Ask with a token, or none; by Alice's connection, for it is faster than to make one each time."""
    path, body = way.of(things)
    headers = {} if token is None else {"Authorization": f"Bearer {token}".strip()}
    alice.http.cookies.clear()
    return alice.http.request(route.split()[1], f"{parley.url}{path}", json=body, headers=headers)


def ways(*, foreign: bool | None = None, public: bool | None = None) -> list[tuple[str, Route]]:
    return [
        (route, way)
        for route, ways in _ROUTES.items()
        for way in ways
        if foreign in (None, way.foreign) and public in (None, way.public)
    ]


def test_the_walk_knows_every_route_and_every_frame(routes: set[str], record_property: Any) -> None:
    assert set(_ROUTES) == routes
    assert set(_FRAMES) == set(FRAMES)

    record_property("walked", f"{len(routes)} of {len(routes)} routes, {len(_FRAMES)} of {len(FRAMES)} frames")


@pytest.mark.parametrize("kind", ["user", "visitor"])
def test_a_stranger_is_forbidden_what_is_not_theirs(
    parley: ParleyProcess, alice: Client, things: dict[str, str], kind: str
) -> None:
    stranger = parley.user("mallory") if kind == "user" else parley.visitor()
    before = state(alice, things)

    answers = {
        f"{route} {way.path}": request(parley, alice, route, way, things, stranger.token)
        for route, way in ways(foreign=True)
    }

    assert {route: answer.status_code for route, answer in answers.items()} == dict.fromkeys(answers, 403)
    assert [route for route, answer in answers.items() if _SECRET in answer.text] == []
    assert state(alice, things) == before


@pytest.mark.parametrize("kind", ["user", "visitor"])
def test_a_stranger_sees_only_their_own(
    parley: ParleyProcess, alice: Client, things: dict[str, str], kind: str
) -> None:
    stranger = parley.user("mallory-too") if kind == "user" else parley.visitor()
    before = state(alice, things)

    for route, way in ways(foreign=False):
        answer = request(parley, alice, route, way, things, stranger.token)

        assert answer.is_success or answer.status_code == way.status, (route, answer.text)
        told = [name for name, value in things.items() if value in answer.text]
        assert (told, _SECRET in answer.text) == ([], False), route
    assert state(alice, things) == before


@pytest.mark.parametrize("kind", ["user", "visitor"])
def test_no_frame_of_a_strangers_gets_at_anything(
    parley: ParleyProcess, alice: Client, things: dict[str, str], kind: str
) -> None:
    stranger = parley.user("mallory-of-the-frames") if kind == "user" else parley.visitor()
    before = state(alice, things)

    with chatting(stranger) as socket:
        for members in _FRAMES["session_init"]:
            error = socket.refused("session_init", **(_filled(members, things) or {}))
            assert error["error_code"] == "forbidden", members
        socket.ask("session_init", "session_ready")
        for members in _FRAMES["resume"]:
            assert socket.refused("resume", **(_filled(members, things) or {}))["error_code"] == "forbidden"
        for frame in _FRAMES.keys() - {"session_init", "resume", "session_close"}:
            for members in _FRAMES[frame]:
                socket.send(frame, **members)
        socket.ask("session_close", "session_closed", **_FRAMES["session_close"][0])
        socket.ask("ping", "pong", id="last")

    said = json.dumps(socket.seen)
    assert (_SECRET in said, [name for name, value in things.items() if value in said]) == (False, [])
    assert state(alice, things) == before


def tokens(secret: str, alice: str) -> dict[str, str | None]:
    """Tokens that are no good, though they speak of Alice."""
    claims = jwt.decode(alice, options={"verify_signature": False})
    head, body, signature = alice.split(".")
    return {
        "none": None,
        "empty": "",
        "garbage": "garbage",
        "expired": jwt.encode(claims | {"exp": int(time.time()) - 3600}, secret, "HS256"),
        "unsigned": jwt.encode(claims, "", "none"),
        "wrong key": jwt.encode(claims, "w" * 48, "HS256"),
        "tampered": f"{head}.{body[:-4]}AAAA.{signature}",
        "stripped": f"{head}.{body}.",
    }


@pytest.mark.parametrize(
    "which", ["none", "empty", "garbage", "expired", "unsigned", "wrong key", "tampered", "stripped"]
)
def test_without_a_good_token_nobody_gets_in(
    parley: ParleyProcess, alice: Client, things: dict[str, str], which: str
) -> None:
    token = tokens(parley.secret, alice.token)[which]
    before = state(alice, things)

    answers = {route: request(parley, alice, route, way, things, token) for route, way in ways(public=False)}

    assert {route: answer.status_code for route, answer in answers.items()} == dict.fromkeys(answers, 401)
    assert all("WWW-Authenticate" in answer.headers for answer in answers.values())
    assert [route for route, answer in answers.items() if _SECRET in answer.text] == []
    assert state(alice, things) == before


def test_what_is_public_answers_without_a_token(parley: ParleyProcess, alice: Client, things: dict[str, str]) -> None:
    answers = {route: request(parley, alice, route, way, things, None) for route, way in ways(public=True)}

    assert {route: answer.status_code for route, answer in answers.items() if not answer.is_success} == {}
    assert [route for route, answer in answers.items() if _SECRET in answer.text] == []


def test_the_owner_gets_in_by_the_same_ways(parley: ParleyProcess, alice: Client, things: dict[str, str]) -> None:
    """Else the walk would prove nothing: what is refused to strangers must be there."""
    harmless = [(route, way) for route, way in ways(foreign=True) if route.endswith(" GET") and not way.admin]

    answers = {way.path: request(parley, alice, route, way, things, alice.token).status_code for route, way in harmless}

    assert answers.pop("/api/v1/conversations/{deleted}") == 404
    assert answers.pop("/api/v1/replies/{reply}/events?after=999999") == 204
    assert set(answers.values()) == {200}
