"""RQ's own queue, registries and tools see what they expect of a worker that does many jobs at once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from redis import Redis
from rq import Queue, Worker
from rq.job import Job
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from adapters.rq.queue import RqQueue, queue_name
from tests.parley_process import free_port
from tests.servers import a_redis
from tests.waiting import eventually

_WORKER = """
from gevent import monkey; monkey.patch_all()
import sys, time
from gevent.os import tp_read
from redis import Redis
from adapters.rq.worker import RqWorker

def work(reply_id):
    deeds = {"0": lambda: None, "1": lambda: time.sleep(60), "2": lambda: 1 / 0}
    deeds[str(reply_id)[-1]]()

url, prefix = sys.argv[1:]
client = lambda timeout: Redis.from_url(url, socket_timeout=timeout)
worker = RqWorker(client, prefix=prefix, name="replies", concurrency=5)
worker.start(work)
print("ready", flush=True)
tp_read(0, 1)
worker.stop()
print("idle" if worker.join(0.5) else "busy", flush=True)
"""


@pytest.fixture
def redis() -> Iterator[tuple[Redis, str, str]]:
    with a_redis() as (url, prefix), Redis.from_url(url) as client:
        yield client, url, prefix
        for key in client.scan_iter("rq:*"):
            client.delete(key)


@pytest.fixture
def worker(redis: tuple[Redis, str, str]) -> Iterator[subprocess.Popen[str]]:
    """A worker whose replies that end in 0 are written at once, in 1 never, and in 2 fail."""
    _, url, prefix = redis
    command = [sys.executable, "-c", _WORKER, url, prefix]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path("src"))
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait(10)
    process.stdin.close()
    process.stdout.close()


def a_reply(deed: int) -> UUID:
    return UUID(f"{str(uuid4())[:-1]}{deed}")


@pytest.mark.parametrize(("name", "task"), [("replies", "write_reply"), ("jobs", "run_job")])
def test_what_is_dispatched_is_in_rqs_queue(redis: tuple[Redis, str, str], name: str, task: str) -> None:
    client, _, prefix = redis
    queue = RqQueue(client, prefix=prefix, name=name, job_timeout=90)
    replies = [a_reply(0) for _ in range(30)]

    for reply in replies:
        queue.dispatch(reply)

    rqs = Queue(queue_name(prefix, name), connection=client, serializer=JSONSerializer)
    eventually(lambda: len(rqs) == 30)
    assert rqs.job_ids == [str(reply) for reply in replies]
    job = Job.fetch(str(replies[0]), connection=client, serializer=JSONSerializer)
    assert (job.func_name, job.args, job.timeout) == (f"adapters.rq.jobs.{task}", [str(replies[0])], 90)


def test_only_what_the_queue_does_not_know_is_dispatched_again(redis: tuple[Redis, str, str]) -> None:
    client, _, prefix = redis
    queue = RqQueue(client, prefix=prefix, name="replies", job_timeout=90)
    known, lost = a_reply(0), a_reply(0)
    queue.dispatch(known)
    rqs = Queue(queue_name(prefix, "replies"), connection=client, serializer=JSONSerializer)
    eventually(lambda: len(rqs) == 1)

    assert queue.dispatch_again([known, lost]) == 1
    eventually(lambda: rqs.job_ids == [str(known), str(lost)])
    client.delete(rqs.key)
    # Every worker sweeps every second: they do not all dispatch what one of them just did.
    assert queue.dispatch_again([known, lost]) == 1


def test_a_queue_that_is_away_makes_nobody_wait() -> None:
    with Redis(port=free_port(), socket_connect_timeout=1) as client:
        queue = RqQueue(client, prefix="away:", name="replies", job_timeout=90)
        began = time.monotonic()

        queue.dispatch(a_reply(0))

        assert queue.dispatch_again([a_reply(0)]) == 0
        assert time.monotonic() - began < 5


def test_a_worker_does_many_jobs_at_once_and_is_one_worker_to_rq(
    redis: tuple[Redis, str, str], worker: subprocess.Popen[str]
) -> None:
    client, url, prefix = redis
    queue = RqQueue(client, prefix=prefix, name="replies", job_timeout=90)
    name = queue_name(prefix, "replies")
    for _ in range(4):
        queue.dispatch(a_reply(1))

    started = StartedJobRegistry(name, connection=client, serializer=JSONSerializer)
    eventually(lambda: len(started) == 4)
    rqs = Queue(name, connection=client, serializer=JSONSerializer)
    (registered,) = Worker.all(queue=rqs)
    assert registered.get_state() == "busy"
    told = subprocess.run(
        [str(Path(sys.executable).with_name("rq")), "info", "-u", url, name], capture_output=True, text=True, timeout=30
    )
    assert "1 workers, 1 queues" in told.stdout, told
    assert f"{name}" in told.stdout

    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("\n")
    worker.stdin.flush()
    assert worker.stdout.readline() == "busy\n"
    eventually(lambda: not Worker.all(queue=rqs))


def test_more_jobs_than_places_wait_in_the_queue(redis: tuple[Redis, str, str], worker: subprocess.Popen[str]) -> None:
    client, _, prefix = redis
    queue = RqQueue(client, prefix=prefix, name="replies", job_timeout=90)
    for _ in range(8):
        queue.dispatch(a_reply(1))

    rqs = Queue(queue_name(prefix, "replies"), connection=client, serializer=JSONSerializer)
    started = StartedJobRegistry(rqs.name, connection=client, serializer=JSONSerializer)
    eventually(lambda: len(started) == 5)
    assert len(rqs) == 3


def test_a_job_that_takes_too_long_or_fails_is_in_the_failed_registry_and_no_other_suffers(
    redis: tuple[Redis, str, str], worker: subprocess.Popen[str]
) -> None:
    client, _, prefix = redis
    queue = RqQueue(client, prefix=prefix, name="replies", job_timeout=1)
    late, failing, good = a_reply(1), a_reply(2), a_reply(0)

    for reply in (late, failing, good):
        queue.dispatch(reply)

    failed = FailedJobRegistry(queue_name(prefix, "replies"), connection=client, serializer=JSONSerializer)
    eventually(lambda: len(failed) == 2)
    reasons = {}
    for job_id in failed.get_job_ids():
        result = Job.fetch(job_id, connection=client, serializer=JSONSerializer).latest_result()
        assert result is not None
        reasons[job_id] = str(result.exc_string)
    assert set(reasons) == {str(late), str(failing)}
    assert "JobTimeoutException" in reasons[str(late)]
    assert "ZeroDivisionError" in reasons[str(failing)]
    started = StartedJobRegistry(queue_name(prefix, "replies"), connection=client, serializer=JSONSerializer)
    eventually(lambda: len(started) == 0)
    eventually(lambda: not Job.exists(str(good), connection=client))


def test_a_worker_runs_no_program_that_somebody_wrote_into_redis(
    redis: tuple[Redis, str, str], worker: subprocess.Popen[str], tmp_path: Path
) -> None:
    client, _, prefix = redis
    rqs = Queue(queue_name(prefix, "replies"), connection=client, serializer=JSONSerializer)
    rqs.enqueue("os.mkdir", str(tmp_path / "made"))
    rqs.enqueue("adapters.rq.jobs.write_reply", str(a_reply(0)))

    failed = FailedJobRegistry(rqs.name, connection=client, serializer=JSONSerializer)
    (job_id,) = eventually(failed.get_job_ids)
    result = Job.fetch(job_id, connection=client, serializer=JSONSerializer).latest_result()
    assert result is not None
    assert "performs adapters.rq.jobs.write_reply and adapters.rq.jobs.run_job only, not os.mkdir" in str(
        result.exc_string
    )
    assert not (tmp_path / "made").exists()
