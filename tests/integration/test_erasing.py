"""A person is erased from every store of a running installation, and nothing else is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from uuid import uuid4

import jwt
import pytest

from application.ports.retention import Remnant
from application.retention.erasing import Erased, ErasePrincipal
from domain.errors import Invalid
from domain.identity import SYSTEM, Principal, PrincipalKind
from entrypoints.container import Container, close
from entrypoints.settings import Settings
from tests.conftest import with_model
from tests.dumps import dumped, places_of
from tests.installation import SECRET, installed, production
from tests.model_server import ModelServer
from tests.parley_process import Client, ParleyProcess, Process, cli, environment
from tests.planting import Planted, planted
from tests.waiting import eventually

_SETTINGS = {"PARLEY_CACHE_ANSWERS": 3600, "PARLEY_RATE_ASK_VISITOR": "1000/hour", "PARLEY_RATE_ASK_USER": "1000/hour"}


@pytest.fixture(scope="module", params=["embedded", "production"])
def parley(
    request: pytest.FixtureRequest, model: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ParleyProcess]:
    """A Parley of its own: it is looked through whole."""
    folder = tmp_path_factory.mktemp("erasing") / "data"
    if request.param == "embedded":
        with installed(folder, **with_model(model), **_SETTINGS) as installation:
            yield installation.web()
    else:
        with production() as servers, installed(folder, **with_model(model), **_SETTINGS, **servers) as installation:
            (folder / "secret_key").parent.mkdir(parents=True, exist_ok=True)
            (folder / "secret_key").write_text(SECRET)
            web = installation.web("--workers", "2")
            installation.worker()
            yield web


@pytest.fixture(scope="module")
def operator(parley: ParleyProcess) -> Iterator[Container]:
    """What the commands of an operator use, in a process beside the server's."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(**parley.settings).items():
            if name.startswith(("PARLEY_", "OPENAI_")):
                patch.setenv(name, value)
        container = Container(settings=Settings.from_environment(create=False))
    yield container
    close(container)


def user(parley: ParleyProcess, name: str, *roles: str) -> Client:
    secret = (parley.data_dir / "secret_key").read_text().strip()
    token = jwt.encode({"sub": name, "roles": roles, "exp": int(time.time()) + 3600}, secret, "HS256")
    client = Client(parley.url, token)
    parley.clients.append(client)
    return client


def word() -> str:
    """One that stands nowhere else."""
    return f"zebra{uuid4().hex[:16]}"


def erased(operator: Container, kind: str, name: str, *, dry_run: bool = False) -> Erased:
    erase = operator.application().retention.erase
    return erase(ErasePrincipal(principal=Principal(PrincipalKind(kind), name), dry_run=dry_run))


def findings(operator: Container) -> list[Remnant]:
    return list(operator.application().retention.verify())


def left_of(parley: ParleyProcess, *needles: str) -> dict[str, list[str]]:
    dump = dumped(parley.settings, parley.data_dir)
    return {needle: places for needle in needles if (places := places_of(needle, dump))}


def cached(admin: Client) -> int:
    """What is cached of questions and answers."""
    regions = admin.data("GET", "/cache/stats/")["regions"]
    return sum(regions[name]["entries"] for name in ("answers", "retrieval"))


def seen_by(client: Client, left: Planted) -> list[bytes]:
    """All that somebody can see of what they have, as it is answered."""
    paths = [
        "/rooms",
        f"/rooms/{left.room}/history",
        "/conversations",
        f"/conversations/{left.conversation}/messages",
        f"/conversations/{left.alone}/messages",
        f"/replies/{left.reply}",
        f"/sessions/{left.session}",
        "/projects",
        "/documents",
        "/job-analyses",
        f"/job-analyses/{left.analysis}",
        f"/search?q={left.word}",
        f"/knowledge/search?q={left.word}",
    ]
    return [client.call("GET", path).content for path in paths]


def test_all_that_a_user_left_is_gone_from_every_store_and_nothing_of_others(
    parley: ParleyProcess, operator: Container
) -> None:
    name, other_name = f"alice-{uuid4()}", f"bob-{uuid4()}"
    alice, bob = user(parley, name), user(parley, other_name)
    left, kept = planted(alice, word(), author=True), planted(bob, word(), author=True)
    before = seen_by(bob, kept)
    foreseen = erased(operator, "user", name, dry_run=True)
    assert left_of(parley, left.word, name).keys() == {left.word, name}

    root = user(parley, "root", "admin")
    assert cached(root) > 0

    done = erased(operator, "user", name)

    eventually(lambda: cached(root) == 0)  # A server's own memory has heard of it within a second.
    assert left_of(parley, left.word, name) == {}
    assert findings(operator) == []
    assert seen_by(bob, kept) == before
    assert done.tally == foreseen.tally
    for kind in ("rooms", "messages", "replies", "sessions", "projects", "documents", "passages", "job_analyses"):
        assert done.tally[kind] >= 1, kind
    assert (done.left, done.settled.away, done.principals) == ({}, {}, 1)

    again = erased(operator, "user", name)

    assert (again.tally, again.left) == ({}, {})
    # Whoever comes back begins anew.
    assert alice.data("GET", "/rooms")["total"] == alice.data("GET", "/conversations")["total"] == 0
    assert alice.call("GET", f"/conversations/{left.conversation}").status_code == 404
    assert alice.call("GET", f"/replies/{left.reply}/events").status_code == 404
    alice.answer(alice.conversation(), "Hello again")
    assert findings(operator) == []


def test_an_erased_visitors_token_brings_nothing_back(parley: ParleyProcess, operator: Container) -> None:
    visitor = parley.visitor()
    left = planted(visitor, word(), author=False)
    name = visitor.data("GET", "/me")["id"]

    erased(operator, "visitor", name)

    assert left_of(parley, left.word, name) == {}
    assert visitor.error("GET", "/rooms")["error_code"] == "token_invalid"
    assert visitor.error("POST", "/conversations", {"title": "Still me"})["error_code"] == "token_invalid"
    renewed = Client(parley.url, visitor.data("POST", "/visitors")["token"])
    parley.clients.append(renewed)
    assert renewed.data("GET", "/me")["id"] != name
    assert left_of(parley, name) == {}


def test_who_a_user_was_before_signing_in_is_erased_with_them(parley: ParleyProcess, operator: Container) -> None:
    name, said = f"fay-{uuid4()}", word()
    visitor, fay = parley.visitor(), user(parley, name)
    before = visitor.data("GET", "/me")["id"]
    fay.data("POST", "/visitors/claim", {"token": visitor.token})
    visitor.answer(visitor.conversation(title=said), said)  # The browser was signed out again.

    done = erased(operator, "user", name)

    assert done.principals == 2
    assert left_of(parley, said, before, name) == {}


def test_public_projects_of_an_admin_stay_as_the_installations_own(parley: ParleyProcess, operator: Container) -> None:
    name, product = f"root-{uuid4()}", word()
    admin, reader = user(parley, name, "admin"), user(parley, f"reader-{uuid4()}")
    project = admin.data("POST", "/projects", {"name": product, "visibility": "public"})["id"]
    note = {"project_id": project, "name": "note.md", "text": f"# Product\n\nThe {product} is green.\n"}
    document = admin.data("POST", "/documents", note)["id"]
    eventually(lambda: admin.data("GET", f"/documents/{document}")["status"] == "ready", within=30)

    foreseen = erased(operator, "user", name, dry_run=True)
    done = erased(operator, "user", name)

    assert done.adopted == foreseen.adopted == 1
    assert done.tally == foreseen.tally
    assert reader.data("GET", "/knowledge/search", params={"q": product})["items"][0]["document_id"] == document
    assert left_of(parley, name) == {}
    assert user(parley, "another", "admin").data("GET", f"/documents/{document}")["id"] == document


def test_a_reply_in_the_making_is_stopped_first(parley: ParleyProcess, operator: Container) -> None:
    name, said = f"gus-{uuid4()}", word()
    gus = user(parley, name)
    reply = gus.ask(gus.conversation(), f"!silent after=3 {said}")
    eventually(lambda: gus.reply(reply)["text"])

    erased(operator, "user", name)

    assert left_of(parley, said, name) == {}
    assert gus.call("GET", f"/replies/{reply}").status_code == 404
    assert findings(operator) == []


def test_an_erasure_that_was_killed_is_finished_by_the_next(parley: ParleyProcess, operator: Container) -> None:
    name = f"hal-{uuid4()}"
    left = planted(user(parley, name), word(), author=True)
    purges = operator.purges()
    last = max((purge.number for purge in purges.all(after=0, limit=10_000)), default=0)
    erasing = Process("erase", "--principal", f"user:{name}", "--yes", **parley.settings)
    erasing.launch()
    eventually(lambda: purges.all(after=last, limit=1), within=60)
    erasing.kill()

    erased(operator, "user", name)

    assert left_of(parley, left.word, name) == {}
    assert findings(operator) == []


def test_the_command_counts_asks_and_reports(parley: ParleyProcess) -> None:
    name = f"ivy-{uuid4()}"
    ivy = user(parley, name)
    ivy.room("Mine")
    erase = ("erase", "--principal", f"user:{name}")

    counted = cli(*erase, "--dry-run", "--json", **parley.settings)
    unasked = cli(*erase, **parley.settings)
    assert (json.loads(counted.stdout)["found"], unasked.returncode) == ({"rooms": 1}, 2)
    assert ivy.data("GET", "/rooms")["total"] == 1

    done = cli(*erase, "--yes", "--json", **parley.settings)
    assert json.loads(done.stdout)["removed"]["rooms"] == 1
    assert ivy.data("GET", "/rooms")["total"] == 0
    assert cli("cleanup", "--verify", **parley.settings).stdout.startswith("Nothing is left")


def test_of_somebody_who_has_left_nothing_the_command_says_so_without_asking(parley: ParleyProcess) -> None:
    nobody = cli("erase", "--principal", f"user:nobody-{uuid4()}", **parley.settings)

    assert (nobody.returncode, nobody.stdout, nobody.stderr) == (0, "There is nothing to do.\n", "")


def test_parley_itself_cannot_be_erased(operator: Container) -> None:
    with pytest.raises(Invalid, match="Parley itself"):
        erased(operator, "user", SYSTEM.id)
