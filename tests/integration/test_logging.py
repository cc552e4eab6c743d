"""The log of processes that go on: lines, ids, exceptions, and what is never told."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response

from adapters.mongo.slow import shape_of
from adapters.redis.server import RedisServer
from adapters.sql.engine import open_database
from application.telemetry import SILENT, begin, bound
from entrypoints.http import answers, observing
from tests.servers import a_mongo_database, a_postgres_database, a_redis

_SRC = Path(__file__).resolve().parents[2] / "src"


def logged(program: str, style: str = "json") -> list[dict[str, Any]]:
    """What a program that logs in a style writes, an object a line."""
    return [json.loads(line) for line in written(program, style).splitlines()]


def written(program: str, style: str, *options: str) -> str:
    begun = f"from entrypoints.observability import configure_logging\nconfigure_logging('INFO', {style!r})\n"
    done = subprocess.run(
        [sys.executable, *options, "-c", begun + program], cwd=_SRC, capture_output=True, text=True, timeout=60
    )
    assert not done.stdout
    return done.stderr


def test_a_line_is_an_object_with_what_was_bound_and_what_was_added() -> None:
    (line,) = logged(
        "import logging\n"
        "from application.telemetry import bind\n"
        "bind(request_id='r', reply_id='p')\n"
        "logging.getLogger('a.b').info('%s of %d', 'one', 2, extra={'store': 'sqlite', 'seconds': 0.5})"
    )

    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "a.b",
        "event": "one of 2",
        "store": "sqlite",
        "seconds": 0.5,
        "request_id": "r",
        "reply_id": "p",
    }


def test_an_exception_is_told_with_what_caused_it_and_no_local_variable() -> None:
    (line,) = logged(
        "import logging\n"
        "def fail(password):\n"
        "    try:\n"
        "        1 / 0\n"
        "    except ZeroDivisionError as error:\n"
        "        raise ValueError('odd') from error\n"
        "try:\n"
        "    fail('hunter2')\n"
        "except ValueError:\n"
        "    logging.getLogger('x').exception('it failed')"
    )

    raised, cause = line["exception"]
    assert (raised["type"], raised["message"]) == ("ValueError", "odd")
    assert (cause["type"], cause["message"]) == ("ZeroDivisionError", "division by zero")
    assert raised["frames"][-1].endswith(" fail")
    assert "hunter2" not in json.dumps(line)


@pytest.mark.parametrize(
    ("program", "event", "error"),
    [
        (
            "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='odd')\nt.start()\nt.join()",
            "odd ended",
            "ZeroDivisionError",
        ),
        (
            "import gevent\nconfigure_logging('INFO', 'json')\ngevent.spawn(lambda: 1 / 0).join()",
            "a greenlet ended",
            "ZeroDivisionError",
        ),
    ],
    ids=["thread", "greenlet"],
)
def test_what_nobody_catches_is_a_line_too(program: str, event: str, error: str) -> None:
    (line,) = logged(program)

    assert (line["level"], line["event"], line["exception"][0]["type"]) == ("error", event, error)


def test_warnings_of_libraries_are_lines_too() -> None:
    (line,) = logged("import warnings\nwarnings.warn('mind the gap')")

    assert line["level"] == "warning"
    assert "mind the gap" in line["event"]


def test_libraries_that_tell_every_request_are_quiet() -> None:
    assert not logged(
        "import logging\nfor name in ('openai', 'httpx2', 'urllib3'):\n    logging.getLogger(name).info('x')"
    )


def test_reading_a_document_is_not_told_step_by_step_even_at_debug() -> None:
    assert not logged(
        "configure_logging('DEBUG', 'json')\nfrom markdown_it import MarkdownIt\nMarkdownIt().parse('# A *text*')"
    )


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Error handling request GET /api/v1/search?q=private", "Error handling request GET /api/v1/search?…"),
        (
            "Invalid request from ip=127.0.0.1: Invalid HTTP Header: 'private'",
            "Invalid request from ip=127.0.0.1: it is malformed",
        ),
        ("Worker (pid:7) was sent SIGKILL!", "Worker (pid:7) was sent SIGKILL!"),
    ],
)
def test_what_gunicorn_quotes_of_clients_is_left_out(said: str, told: str) -> None:
    (line,) = logged(f"import logging\nlogging.getLogger('gunicorn.error').warning({said!r})")

    assert line["event"] == told


def test_people_read_lines_of_their_own_kind_without_local_variables() -> None:
    text = written(
        "import logging\n"
        "from application.telemetry import bind\n"
        "bind(reply_id='p')\n"
        "def fail(password):\n    1 / 0\n"
        "try:\n    fail('hunter2')\nexcept ZeroDivisionError:\n    logging.getLogger('x').exception('it failed')",
        "console",
    )

    assert "it failed" in text
    assert "ZeroDivisionError" in text
    assert "reply_id" in text
    assert "hunter2" not in text


def test_where_no_terminal_is_lines_are_objects_by_themselves() -> None:
    assert logged("import logging\nlogging.getLogger('x').warning('it')", "auto")[0]["event"] == "it"


@pytest.fixture
def app() -> Flask:
    app = Flask(__name__)
    answers.install(app, lambda: "made-here", {})
    observing.install(app, SILENT)

    @app.get("/broken/<reply_id>")
    def broken(reply_id: str) -> Response:
        raise RuntimeError("a defect")

    @app.get("/long")
    def long() -> Response:
        def pieces() -> Iterator[str]:
            yield "one"
            yield "two"

        return Response(pieces())

    return app


def test_an_unexpected_error_is_logged_under_the_id_that_the_client_saw(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(_with_ids)

    answer = app.test_client().get("/broken/0198c2c4-0000-7000-8000-000000000001", headers={"X-Request-ID": "seen"})

    (record,) = [each for each in caplog.records if each.exc_info]
    assert answer.status_code == 500
    assert answer.get_json()["error"]["request_id"] == "seen"
    assert record.ids == {"request_id": "seen", "reply_id": "0198c2c4-0000-7000-8000-000000000001"}  # type: ignore[attr-defined]


def test_what_is_no_id_is_not_bound(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.addFilter(_with_ids)

    app.test_client().get("/broken/whatever-somebody-writes")

    assert [each.ids for each in caplog.records if each.exc_info] == [{"request_id": "made-here"}]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("takes", "bytes_", "broken_off"), [(2, 6, False), (1, 3, True)])
def test_a_stream_is_told_when_it_is_over_and_whether_it_came_to_its_end(
    app: Flask, caplog: pytest.LogCaptureFixture, takes: int, bytes_: int, broken_off: bool
) -> None:
    with caplog.at_level(logging.INFO, "access"):
        answer = app.test_client().get("/long", buffered=False)
        body = iter(answer.response)
        for _ in range(takes):
            next(body)
        assert "access" not in {record.name for record in caplog.records}
        if not broken_off:
            assert next(body, None) is None
        answer.close()

    (record,) = [each for each in caplog.records if each.name == "access"]
    assert (record.bytes, getattr(record, "broken_off", False)) == (bytes_, broken_off)  # type: ignore[attr-defined]


def _with_ids(record: logging.LogRecord) -> bool:
    from application.telemetry import bound_ids

    record.ids = dict(bound_ids())
    return True


def slow(caplog: pytest.LogCaptureFixture, store: str) -> list[str]:
    return [each.statement for each in caplog.records if each.name == "slow_query" and each.store == store]  # type: ignore[attr-defined]


def test_a_slow_statement_is_told_without_its_values(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from sqlalchemy import text

    begin()
    database = open_database(f"sqlite:///{tmp_path}/it.db", slow=1e-9)
    with bound(reply_id="p"), database.reading() as connection:
        connection.execute(text("SELECT\n  :said"), {"said": "private"}).all()
    database.dispose()

    assert "SELECT ?" in slow(caplog, "sqlite")
    assert "private" not in caplog.text


def test_fast_statements_are_not_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for seconds in (10.0, 0.0):
        database = open_database(f"sqlite:///{tmp_path}/it.db", slow=seconds)
        database.ping()
        database.dispose()

    assert not slow(caplog, "sqlite")


def test_slow_statements_of_all_engines_of_postgresql_are_told(caplog: pytest.LogCaptureFixture) -> None:
    from sqlalchemy import text

    with a_postgres_database() as url:
        database = open_database(url, slow=1e-9)
        for context in (database.writing, database.reading, database.at_once):
            with context() as connection:
                connection.execute(text("SELECT CAST(:said AS text)"), {"said": "private"}).all()
        database.dispose()

    assert slow(caplog, "postgresql").count("SELECT CAST(%(said)s AS text)") == 3
    assert "private" not in caplog.text


def test_slow_commands_of_redis_are_told_by_their_names(caplog: pytest.LogCaptureFixture) -> None:
    with a_redis() as (url, prefix):
        server = RedisServer(url, prefix, slow=1e-9)
        server.client.set(f"{prefix}private", "private")
        with server.client.pipeline(transaction=False) as pipeline:
            pipeline.get(f"{prefix}private")
            pipeline.get(f"{prefix}private")
            pipeline.delete(f"{prefix}private")
            assert pipeline.execute() == [b"private", b"private", 1]
        server.blocking_client(1.0).blpop([f"{prefix}nothing"], timeout=0.01)
        server.close()

    assert slow(caplog, "redis") == ["SET", "PIPELINE GET×2 DEL×1"]
    assert "private" not in caplog.text


def test_slow_commands_of_mongo_are_told_by_their_shape(caplog: pytest.LogCaptureFixture) -> None:
    from adapters.mongo.server import MongoServer

    with a_mongo_database() as url:
        server = MongoServer(url, slow=1e-9)
        server.database.things.insert_one({"_id": 1, "said": "private"})
        assert server.database.things.find_one({"said": {"$in": ["private", "more"]}}) is not None
        server.close()

    shapes = slow(caplog, "mongo")
    assert any(shape.startswith('{"insert":"things","ordered":"?"') for shape in shapes)
    assert any('"filter":{"said":{"$in":["?"]}}' in shape for shape in shapes)
    assert "private" not in caplog.text


def test_every_statement_is_timed_by_its_kind_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from sqlalchemy import text

    from adapters.mongo.server import MongoServer

    seen: list[tuple[str, str]] = []

    def observe(store: str, kind: str, seconds: float) -> None:
        assert seconds >= 0
        seen.append((store, kind))

    database = open_database(f"sqlite:///{tmp_path}/it.db", observe=observe)
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE things (said TEXT)"))
        connection.execute(text("INSERT INTO things VALUES (:said)"), [{"said": "private"}, {"said": "more"}])
        seen.clear()
        connection.execute(text("INSERT INTO things VALUES (:said)"), [{"said": "private"}, {"said": "more"}])
        connection.execute(text("\n  SELECT said FROM things")).all()
        connection.execute(text("WITH some AS (SELECT 1) SELECT * FROM some")).all()
        connection.execute(text("DROP TABLE things"))
    assert seen == [("sqlite", kind) for kind in ("insert", "select", "with", "other")]
    database.dispose()

    seen.clear()
    with a_redis() as (url, prefix):
        redis = RedisServer(url, prefix, observe=observe)
        redis.client.set(f"{prefix}private", "private")
        with redis.client.pipeline(transaction=False) as pipeline:
            pipeline.get(f"{prefix}private")
            pipeline.delete(f"{prefix}private")
            pipeline.execute()
        redis.close()
    assert seen == [("redis", "set"), ("redis", "pipeline")]

    seen.clear()
    with a_mongo_database() as url:
        mongo = MongoServer(url, observe=observe)
        mongo.database.things.insert_one({"_id": 1, "said": "private"})
        mongo.database.things.find_one({"said": "private"})
        mongo.close()
    assert [kind for _, kind in seen if kind in ("insert", "find")] == ["insert", "find"]
    assert not any(slow(caplog, store) for store in ("sqlite", "redis", "mongo"))


def test_a_shape_has_no_value_but_the_collection() -> None:
    command = {"aggregate": "messages", "pipeline": [{"$match": {"owner": "user:a"}}, {"$limit": 5}], "lsid": {"id": 1}}

    assert shape_of(command) == '{"aggregate":"messages","pipeline":[{"$match":{"owner":"?"}},{"$limit":"?"}]}'
