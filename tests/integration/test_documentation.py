"""A fresh install answers questions about Parley from its documentation, with the right source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from adapters.sql.engine import open_database
from adapters.sql.schema import Schema
from application.ports.parsing import WITHIN
from application.replies.following_up import in_context
from tests.library import Library
from tests.parley_process import running
from tests.servers import a_postgres_database

_PROJECT = Path(__file__).resolve().parents[2]

_ANSWERED = {
    "What is Parley?": "What is Parley",
    "Can I use Postgres?": "database|Not yet",
    "What database does Parley use?": "Which database",
    "How do I install Parley?": "Install and run",
    "How do I change the port?": "Change the host",
    "Where is my data stored?": "Where is my data",
    "How do I use Ollama?": "Ollama",
    "How do I use my own model?": "Use your own model",
    "How do I stop a reply?": "Stop a reply",
    "How can I regenerate an answer?": "Regenerate",
    "How do I edit a question?": "Edit a question",
    "How do I go back to an earlier version?": "earlier version",
    "How do I rate an answer?": "Rate an answer",
    "What is a branch?": "What is a version",
    "How do I resume a stream?": "Resume a stream",
    "What happens on kill -9?": "kill -9",
    "What happens when the server crashes mid-reply?": "crashes in mid-reply",
    "What happens if the model is down?": "model is away|model cannot be reached",
    "How do I restore a deleted room?": "Restore a deleted room",
    "How do I find what I have deleted?": "Find what you deleted",
    "How do I search my messages?": "Search my messages",
    "How do I page through the history?": "Read the history",
    "What is a visitor?": "What is a visitor",
    "What is an agent?": "What is an agent",
    "Which statuses can a reply have?": "Reply statuses",
    "What does a 409 reply_in_progress mean?": "409 reply_in_progress",
    "What does error 401 token_expired mean?": "401 token_expired",
    "Which settings limit the message length?": "Limits on length",
    "How many questions may a visitor ask per hour?": "Rate limits",
    "What does error 429 rate_limited mean?": "429 rate_limited",
    "How do I issue a token for a user?": "Issue a token",
    "Is there an admin role?": "admin role",
    "How do I use Keycloak?": "identity provider",
    "Does it support RS256 and JWKS?": "identity provider",
    "How do I rotate a secret?": "rotate a secret",
    "How do I log out?": "Log out|login, logout",
    "How do I allow another origin (CORS)?": "CORS",
    "How do I set PARLEY_PROXIES?": "proxies",
    "How do I back up?": "Back up",
    "How do I upgrade?": "Upgrade",
    "Why does my stream stall behind nginx?": "stream stalls|reverse proxy",
    "Does it support WebSockets?": "Chat over a WebSocket",
    "Which frames does the WebSocket have?": "WebSocket frames",
    "How do I reconnect a WebSocket?": "WebSocket with reconnect",
    "What does close code 4401 mean?": "close codes",
    "Why does my WebSocket disconnect?": "closed or disconnects",
    "How many WebSockets can one process take?": "What WebSockets cost",
    "What does 429 too_many_sockets mean?": "429 too_many_sockets",
    "What is a session?": "What is a session",
    "How do I open a session?": "Open a session",
    "When does a session expire?": "When a session expires",
    "How many sessions may I have?": "101st session",
    "How do I make the agent forget?": "make an agent forget",
    "What does session_required mean?": "session_required",
    "How do I retry a request safely?": "idempotency keys",
    "What does 409 idempotency_key_in_use mean?": "409 idempotency_key_in_use",
    "How do I ask and get the answer in one call?": "One-call chat",
    "Can a visitor become a user?": "Can a visitor become a user",
    "How do I take my rooms along when I sign in?": "claim a visitor",
    "Why are the answers offline?": "Answers are offline",
    "How do I scale Parley?": "How to scale",
    "Can I run several web processes?": "Web processes|more than one web process",
    "How many workers do I need?": "how many",
    "How do I start a worker?": "parley worker",
    "Do I need sticky sessions?": "sticky sessions",
    "What happens when Redis is down?": "Redis is away",
    "What happens when MongoDB is away?": "MongoDB is away",
    "What happens when PostgreSQL is away?": "PostgreSQL is away",
    "How do I rebuild the read models?": "Rebuild",
    "Does it work with PgBouncer?": "PgBouncer",
    "Does it work with Redis Cluster or Sentinel?": "Sentinel, Cluster",
    "Which eviction policy should Redis have?": "eviction policy",
    "Which shard key for MongoDB?": "shard key",
    "How do I run it in Docker?": "Docker",
    "Why do replies stay queued?": "stay queued",
    "What does status degraded mean?": "degraded",
    "How do I set the MongoDB URL?": "MongoDB|URL of a server",
    "How do I back up PostgreSQL?": "Back up PostgreSQL",
    "How do I upload a document?": "Upload a document",
    "How do I use my own documents?": "Get started with your own documents|ground answers",
    "Which file types can I upload?": "Which file types|POST /documents|What is a document",
    "How do I delete Parley's own documentation?": "Parley's own documentation",
    "What is a project?": "What is a project",
    "Who can see my documents?": "Which documents answer|private project",
    "What is a tool?": "What is a tool",
    "How do I write a tool of my own?": "Write a tool",
    "How do I add an agent?": "Add an agent",
    "What does confidence mean?": "confidence",
    "How are follow-up questions understood?": "follow-up questions",
    "How do I use embeddings with Ollama?": "Use embeddings",
    "How do I change the embedding model?": "Change the embedding model",
    "How do I search my documents?": "Search my documents",
    "Why are my documents not found?": "not found or not cited",
    "What does document_type_unknown mean?": "document_type_unknown",
    "Why is my document still queued?": "stays queued",
    "What does embeddings_refused mean?": "embeddings_refused",
    "How does retrieval work?": "How retrieval works",
    "How are documents split into chunks?": "chunking",
    "Are answers cached?": "cached",
    "How do I analyse a job description?": "Analyse a job description",
    "What is an intent?": "intent",
    "How do I show tool calls to the user?": "Show tool calls",
    "What does 409 document_exists mean?": "document_exists",
    "How do I set a price for a model?": "prices",
    "What is a background job?": "background job",
    "How do I replace a document?": "Replace, download",
    "What does 503 cache_unavailable mean?": "cache_unavailable",
    "How do I become a visitor with cURL?": "visitor and get a token",
    "Which wire should my frontend use?": "Which wire",
    "How do I write a frontend in plain JavaScript?": "page in plain JavaScript|your own frontend",
    "How do I use useChat?": "useChat|AI SDK",
    "Does it work with the Vercel AI SDK?": "useChat|AI SDK",
    "How do I use OpenAI's SDK with Parley?": "OpenAI",
    "How do I use Chat Completions from Python?": "Chat Completions",
    "Can I use Open WebUI with Parley?": "Open WebUI",
    "How do I generate a client from the OpenAPI document?": "Generate",
    "How do I export a conversation?": "export",
    "Can I export a conversation as PDF?": "PDF|export",
    "How do I import an export?": "import",
    "How do I move from SQLite to PostgreSQL?": "SQLite to PostgreSQL|move|Move",
    "How do I erase a person?": "erase",
    "How long are deleted rooms kept?": "kept|deleted when|restor",
    "How do I purge a room?": "purge",
    "How do I prove that nothing is left?": "prove|verify",
    "How do I run cleanup regularly?": "regularly|scheduler",
    "Where are the Prometheus metrics?": "Metrics for Prometheus|Prometheus",
    "How do I set up OpenTelemetry traces?": "OpenTelemetry",
    "Which alerts are there?": "Alerts",
    "What is in the log?": "log",
    "How do I find slow queries?": "Slow queries",
    "Which exit codes does the command line have?": "Exit codes",
    "How do I get shell completion?": "completion",
    "How do I list deleted conversations?": "parley conversations|deleted",
    "How do I read the documentation as a site?": "documentation as a site",
    "Is the temperature of an OpenAI client honoured?": "endpoints and parameters",
    "What becomes of a system prompt?": "System prompts",
    "How do I use LibreChat with Parley?": "LibreChat",
    "What happens when an OpenAI client hangs up?": "hangs up",
    "Can I get an answer in the background?": "in the background",
}

_UNANSWERED = [
    "Write me a poem about the sea",
    "What is the capital of France?",
    "Translate hello into Spanish",
    "How do I bake bread?",
    "hello",
    "Who won the world cup in 1998?",
    "What is the best recipe for apple pie?",
    "How tall is Mount Everest?",
    "What's the weather like tomorrow in Berlin?",
    "How do I reset my bank PIN?",
    "Wie backe ich einen Kuchen?",
    "法国的首都是什么？",
]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """The documentation, read in as a fresh install does."""
    with ExitStack() as servers:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('documentation') / 'parley.db'}"
        else:
            url = servers.enter_context(a_postgres_database())
        database = open_database(url)
        servers.callback(database.dispose)
        Schema(database).upgrade()
        library = Library(database)
        assert library.seed(_PROJECT / "docs") > 5
        yield library


@pytest.mark.parametrize("question", _ANSWERED)
def test_the_first_passage_answers_a_question_about_parley(library: Library, question: str) -> None:
    found = library.retrieval.search(question, library.scope(), limit=1)

    assert found, "nothing was found"
    assert _answers(question, found[0].heading or found[0].title), found[0].heading


def test_what_a_question_says_by_itself_comes_before_what_the_earlier_ones_were_about(library: Library) -> None:
    earlier = ["Does it support RS256 and JWKS?", "How do I use Keycloak?"]

    found = in_context(library.retrieval, "How do I rotate a secret?", earlier, library.scope(), limit=4)

    assert _answers("How do I rotate a secret?", found.passages[0].heading)
    assert any("RS256" in passage.heading for passage in found.passages)


@pytest.mark.parametrize("question", _UNANSWERED)
def test_a_question_about_something_else_finds_nothing(library: Library, question: str) -> None:
    assert list(library.retrieval.search(question, library.scope(), limit=1)) == []


def test_a_fresh_install_answers_questions_about_parley_with_the_right_source(
    tmp_path: Path, record_property: Callable[[str, str], None]
) -> None:
    wrong = []
    with running(tmp_path) as parley:
        visitor = parley.visitor()
        for question in _ANSWERED:
            answer = visitor.data("POST", "/chat/", {"question": question})
            sources = answer["sources"]
            if not (sources and _answers(question, sources[0]["heading"] or sources[0]["title"])):
                wrong.append(question)

    right = len(_ANSWERED) - len(wrong)
    record_property(
        "answered", f"{right} of {len(_ANSWERED)} questions about Parley, asked on a fresh install, rightly"
    )
    assert right / len(_ANSWERED) >= 0.95, wrong


def _answers(question: str, heading: str) -> bool:
    """Whether the innermost of these headings is one that was to be found."""
    return re.search(_ANSWERED[question], heading.rpartition(WITHIN)[2], re.IGNORECASE) is not None
