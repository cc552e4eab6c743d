"""Background jobs whose worker dies or stops in the middle: another does them, and nothing is done by halves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.conftest import with_model
from tests.installation import installed, production
from tests.model_server import MODEL, ModelServer, model_server
from tests.parley_process import Client, running
from tests.waiting import eventually

_LEASE = 30
"""Seconds until another worker may take over what a dead one had, see domain.jobs.LEASE."""

_MUTE = {"PARLEY_EMBEDDING_MODEL": "embed-mute"}
_GOOD = {"PARLEY_EMBEDDING_MODEL": MODEL}


def a_document(client: Client) -> str:
    project = client.data("POST", "/projects", {"name": "Notes"})["id"]
    body = {"project_id": project, "text": "# Harbours\n\nThe old harbour.", "media_type": "text/markdown"}
    return str(client.data("POST", "/documents", body)["id"])


def shown(client: Client, document: str) -> dict[str, Any]:
    found: dict[str, Any] = client.data("GET", f"/documents/{document}")
    return found


def settled(client: Client, document: str, within: float = 15.0) -> dict[str, Any]:
    """The document once nothing is at work on it any more."""
    eventually(lambda: shown(client, document)["progress"] is None, within)
    return shown(client, document)


def being_embedded(client: Client, document: str, model: ModelServer) -> None:
    """Wait until a worker is in the middle of it."""
    eventually(lambda: shown(client, document)["status"] == "ready")
    eventually(lambda: any("The old harbour." in str(asked["input"]) for asked in model.embeddings))


def test_a_server_that_is_killed_over_a_job_does_it_when_it_is_back(data_dir: Path, model: ModelServer) -> None:
    model.embeddings.clear()
    with running(data_dir, **with_model(model, **_MUTE, PARLEY_JOBS_CONCURRENCY=50)) as parley:
        user = parley.user("alice")
        document = a_document(user)
        being_embedded(user, document, model)

        parley.kill()
        parley.settings |= _GOOD
        parley.start()

        assert shown(user, document)["progress"] is not None
        done = settled(user, document, within=_LEASE + 30)
        assert (done["embedded"], done["error"], done["passage_count"]) == (True, None, 1)


def test_a_worker_that_is_killed_over_a_job_leaves_it_to_another(tmp_path: Path, model: ModelServer) -> None:
    model.embeddings.clear()
    with production() as settings, installed(tmp_path, **with_model(model, **_GOOD), **settings) as installation:
        web = installation.web()
        worker = installation.worker(**_MUTE, PARLEY_JOBS_CONCURRENCY=50)
        user = web.user("alice")
        document = a_document(user)
        being_embedded(user, document, model)

        worker.kill()
        installation.worker()

        done = settled(user, document, within=_LEASE + 30)
        assert (done["embedded"], done["error"], done["passage_count"]) == (True, None, 1)


def test_a_worker_that_is_told_to_stop_gives_its_job_back_at_once(tmp_path: Path, model: ModelServer) -> None:
    model.embeddings.clear()
    with production() as settings, installed(tmp_path, **with_model(model, **_GOOD), **settings) as installation:
        web = installation.web()
        worker = installation.worker(**_MUTE, PARLEY_JOBS_CONCURRENCY=50)
        user = web.user("alice")
        document = a_document(user)
        being_embedded(user, document, model)

        installation.worker()
        assert worker.terminate() == 0

        done = settled(user, document, within=_LEASE / 2)
        assert done["embedded"]


def test_another_embedding_model_embeds_what_there_is_anew(data_dir: Path, model: ModelServer) -> None:
    with running(data_dir, **with_model(model, **_GOOD)) as parley:
        user = parley.user("alice")
        document = a_document(user)
        eventually(lambda: shown(user, document)["embedded"])
        before = len(model.embeddings)

        parley.terminate()
        parley.settings |= {"PARLEY_EMBEDDING_MODEL": "another-model"}
        parley.start()

        eventually(
            lambda: any(
                asked["model"] == "another-model" and "The old harbour." in str(asked["input"])
                for asked in model.embeddings[before:]
            ),
            within=30,
        )
        eventually(lambda: shown(user, document)["progress"] is None)
        assert shown(user, document)["embedded"]


def test_a_server_that_gives_another_dimension_embeds_what_there_is_anew(data_dir: Path) -> None:
    with model_server() as model, running(data_dir, **with_model(model, **_GOOD)) as parley:
        user = parley.user("alice")
        document = a_document(user)
        eventually(lambda: shown(user, document)["embedded"])
        search = f"/knowledge/search?q=The+old+harbour&project_id={shown(user, document)['project_id']}"
        assert user.data("GET", search)["mode"] == "hybrid"

        parley.terminate()
        model.dimension = 32
        parley.start()

        eventually(lambda: "gives 32 numbers now" in parley.output, within=30)
        eventually(lambda: shown(user, document)["embedded"], within=30)
        assert user.data("GET", search)["mode"] == "hybrid"
        assert user.data("GET", f"{search}&mode=vector")["total"] == 1


def test_vectors_that_are_of_no_use_are_said_at_the_document(data_dir: Path, model: ModelServer) -> None:
    with running(data_dir, **with_model(model, PARLEY_EMBEDDING_MODEL="embed-not-a-number")) as parley:
        user = parley.user("alice")
        document = a_document(user)

        done = settled(user, document)

        assert (done["status"], done["embedded"]) == ("ready", False)
        assert done["error"]["code"] == "embeddings_unusable"
