"""Somebody who uses everything there is, and leaves a word in all of it by which what is left can be found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tests.chat_socket import chatting
from tests.openai_client import assistant, speaking, system, user
from tests.parley_process import Client
from tests.waiting import eventually


@dataclass(frozen=True)
class Planted:
    """What somebody left."""

    word: str
    room: str
    conversation: str
    alone: str
    deleted: str
    reply: str
    session: str
    analysis: str
    project: str | None = None
    document: str | None = None


def planted(client: Client, word: str, *, author: bool) -> Planted:
    """Leave `word` in rooms, histories, feedback, sessions and job analyses; as an author, in a project too."""
    project = document = None
    if author:
        project = str(client.data("POST", "/projects", {"name": f"{word} project", "metadata": {"of": word}})["id"])
        note = {"project_id": project, "name": f"{word}.md", "text": f"# {word}\n\nThe {word} is blue.\n"}
        document = str(client.data("POST", "/documents", note)["id"])
        eventually(lambda: client.data("GET", f"/documents/{document}")["status"] == "ready", within=30)
    room = str(client.data("POST", "/rooms", {"name": f"{word} room", "metadata": {"of": word}}, **once_more())["id"])
    about = {"project_id": project} if project else {}
    conversation = client.conversation(room_id=room, title=f"{word} title", metadata={"of": word}, **about)
    reply = str(client.answer(conversation, f"What colour is the {word}?")["id"])
    ended(client, client.data("POST", f"/replies/{reply}/regenerate"))
    question = client.messages(conversation)[0]["id"]
    ended(client, client.data("POST", f"/messages/{question}/edit", {"content": f"And the other {word}?"}))
    answer = client.messages(conversation)[-1]["id"]
    client.data("PUT", f"/messages/{answer}/feedback", {"rating": "up", "comment": f"{word} comment"})
    alone = client.conversation(title=f"{word} alone")
    client.data("POST", f"/conversations/{alone}/messages?wait=30", {"content": f"{word} alone"}, **once_more())
    deleted = client.conversation(room_id=room, title=f"{word} deleted")
    client.answer(deleted, f"{word} deleted?")
    client.data("DELETE", f"/conversations/{deleted}")
    context = {"context": {"page": word}, "metadata": {"of": word}}
    session = str(client.data("POST", "/sessions", {"conversation_id": alone} | context)["id"])
    client.data("POST", "/sessions", context)
    client.call("PUT", f"/sessions/{session}/rating", {"rating": 4, "comment": f"{word} rating"})
    wanted = {"title": f"{word} job", "text": f"Requirements:\n- Python\n- {word}lang\n"}
    analysis = str(client.data("POST", "/job-analyses", wanted)["id"])
    eventually(lambda: client.data("GET", f"/job-analyses/{analysis}")["status"] != "queued", within=30)
    client.data("GET", "/search", params={"q": word})
    client.data("GET", "/knowledge/search", params={"q": word})
    client.data("GET", "/conversations/stats/")
    client.call("POST", "/chat/", {"question": f"{word} in one call?"})
    _plant_by_other_wires(client, word)
    return Planted(word, room, conversation, alone, deleted, reply, session, analysis, project, document)


def _plant_by_other_wires(client: Client, word: str) -> None:
    """Ask by OpenAI's wires, the AI SDK's and a WebSocket, and have a tool called."""
    named = {"of": word}
    talk: list[Any] = [system(f"Be {word}."), user(f"{word}?"), assistant(f"{word}!"), user(f"And {word} again?")]
    with speaking(client) as openai:
        openai.chat.completions.create(model="skills", messages=talk)
        first = openai.responses.create(input=f"{word}, says who?", instructions=f"Be {word}.", metadata=named)
        openai.responses.create(input=f"{word} after that", previous_response_id=first.id)
        openai.conversations.create(items=[user(f"{word} from elsewhere")], metadata=named)
    said = {"id": f"{word} message", "role": "user", "parts": [{"type": "text", "text": f"{word} on a page"}]}
    page = {"id": f"{word} chat", "messages": [said], "trigger": "submit-message"}
    answer = client.call("POST", str(client.http.base_url.copy_with(path="/api/chat")), page)
    assert "[DONE]" in answer.text, answer.text
    with chatting(client) as socket:
        socket.ask("session_init", "session_ready", context={"page": word})
        asked = socket.ask("message", "accepted", content=f"{word} on a socket")
        socket.events(asked["reply"]["id"])
    client.answer(client.conversation(), f'!tool name=search_knowledge arguments={{"query":"{word}"}}')


def ended(client: Client, asked: dict[str, Any]) -> None:
    """Wait for the reply that was asked for."""
    reply = asked.get("reply", asked)["id"]
    eventually(lambda: client.reply(reply)["status"] == "completed", within=30)


def once_more() -> dict[str, Any]:
    """The headers of a request that is known again."""
    return {"headers": {"Idempotency-Key": str(uuid4())}}
