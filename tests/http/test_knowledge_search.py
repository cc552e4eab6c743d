"""`/api/v1/knowledge/search`: the passages that an answer would be grounded in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from entrypoints.http.knowledge import FindingsOut
from tests.conftest import with_model
from tests.http.test_openapi import fits
from tests.model_server import ModelServer
from tests.parley_process import Client, ParleyProcess, cli, running
from tests.waiting import eventually


def test_a_visitor_searches_the_documentation(visitor: Client) -> None:
    found = visitor.data("GET", "/knowledge/search", params={"q": "How do I restore a deleted room?", "limit": 2})

    fits(FindingsOut, found)
    assert (found["mode"], found["total"], len(found["items"])) == ("text", 2, 2)
    first, second = found["items"]
    assert "Restore a deleted room" in first["heading"]
    assert first["score"] >= second["score"]
    assert 0.5 < first["relevance"] <= 1


def test_ones_own_documents_are_searched_and_nobody_elses(parley: ParleyProcess) -> None:
    alice, bob = parley.user(f"alice-{uuid4()}"), parley.user(f"bob-{uuid4()}")
    project = _with_document(alice, "The zeppelin is moored at the northern mast.")

    found = alice.data("GET", "/knowledge/search?q=zeppelin")
    only = alice.data("GET", f"/knowledge/search?q=zeppelin&project_id={project}")
    other = bob.data("GET", "/knowledge/search?q=zeppelin")
    refused = bob.error("GET", f"/knowledge/search?q=zeppelin&project_id={project}")

    assert [item["text"] for item in found["items"]] == ["The zeppelin is moored at the northern mast."]
    assert found["items"][0]["project_id"] == project
    assert [item["text"] for item in only["items"]] == [item["text"] for item in found["items"]]
    assert other == {"items": [], "mode": "text", "total": 0}
    assert (refused["status_code"], refused["error_code"]) == (403, "forbidden")


def test_a_deleted_document_is_found_no_more(parley: ParleyProcess) -> None:
    alice = parley.user(f"alice-{uuid4()}")
    _with_document(alice, "The zeppelin is moored.")
    (item,) = alice.data("GET", "/knowledge/search?q=zeppelin")["items"]

    alice.data("DELETE", f"/documents/{item['document_id']}")

    assert alice.data("GET", "/knowledge/search?q=zeppelin")["items"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "q"),
        ("q=", "q"),
        (f"q={'x' * 1001}", "q"),
        ("q=x&limit=0", "limit"),
        ("q=x&limit=21", "limit"),
        ("q=x&mode=magic", "mode"),
        ("q=x&project_id=1", "project_id"),
        ("q=x&agent=nobody", "agent"),
        ("q=x&colour=red", "colour"),
    ],
)
def test_a_wrong_query_is_told_its_field(visitor: Client, query: str, field: str) -> None:
    error = visitor.error("GET", f"/knowledge/search?{query}")

    assert error["status_code"] == 422
    assert list(error["details"]["fields"]) == [field]


def test_an_unknown_project_is_not_found(visitor: Client) -> None:
    error = visitor.error("GET", f"/knowledge/search?q=x&project_id={uuid4()}")

    assert (error["status_code"], error["error_code"]) == (404, "project_not_found")


def test_whoever_is_not_known_is_refused(parley: ParleyProcess) -> None:
    stranger = Client(parley.url)
    parley.clients.append(stranger)

    assert stranger.error("GET", "/knowledge/search?q=x")["status_code"] == 401


def test_without_embeddings_there_is_no_search_by_vectors(visitor: Client) -> None:
    error = visitor.error("GET", "/knowledge/search?q=x&mode=vector")

    assert (error["status_code"], error["error_code"]) == (409, "embeddings_off")


@pytest.fixture(scope="module")
def embedding(model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParleyProcess]:
    """A Parley with an embedding model."""
    settings = with_model(
        model, PARLEY_EMBEDDING_MODEL="embed-subwords", PARLEY_EMBEDDING_DIMENSIONS=512, PARLEY_EMBEDDING_FLOOR=0.2
    )
    with running(tmp_path_factory.mktemp("embedding"), **settings) as process:
        yield process


def test_with_embeddings_documents_are_found_by_words_that_they_do_not_hold(embedding: ParleyProcess) -> None:
    alice = embedding.user("alice")
    _with_document(alice, "The zeppelin is moored at the northern mast.")

    def found_by_vectors() -> list[str]:
        items = alice.data("GET", "/knowledge/search?q=zeppelinmast&mode=vector&limit=1")["items"]
        return [item["text"] for item in items if "zeppelin" in item["text"]]

    eventually(found_by_vectors, within=30)
    hybrid = alice.data("GET", "/knowledge/search?q=zeppelinmast&limit=1")

    assert hybrid["mode"] == "hybrid"
    assert [item["text"] for item in hybrid["items"]] == ["The zeppelin is moored at the northern mast."]
    assert alice.data("GET", "/knowledge/search?q=zeppelinmast&mode=text")["items"] == []


def test_a_question_is_answered_from_what_was_found_by_meaning(embedding: ParleyProcess, model: ModelServer) -> None:
    carol = embedding.user("carol")
    _with_document(carol, "The gasworks stand beside the canal harbour.")
    eventually(
        lambda: carol.data("GET", "/knowledge/search?q=gasworking canals harbours&mode=vector&limit=1")["items"][:1],
        within=30,
    )

    carol.answer(carol.conversation(), "gasworking at canals harbours")

    sent = model.asked("gasworking at canals harbours")[-1]
    assert "The gasworks stand beside the canal harbour." in str(sent["messages"])


def test_an_embedding_model_without_a_server_is_told_of(tmp_path: Path) -> None:
    refused = cli("migrate", PARLEY_DATA_DIR=tmp_path, PARLEY_EMBEDDING_MODEL="text-embedding-3-small")

    assert refused.returncode != 0
    assert "PARLEY_EMBEDDING_MODEL: needs a server." in refused.stderr


def _with_document(client: Client, text: str) -> str:
    """A project with one document that can be found; its id."""
    project = str(client.data("POST", "/projects", {"name": "Airfield"})["id"])
    document = client.data("POST", "/documents", {"project_id": project, "text": text, "name": "airfield.txt"})
    document_id = document.get("document", document)["id"]
    eventually(lambda: client.data("GET", f"/documents/{document_id}")["status"] == "ready", within=30)
    return project
