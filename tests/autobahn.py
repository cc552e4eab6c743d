"""Run Autobahn's fuzzing client against Parley's WebSockets, and fail when it finds a failure.

`python -m tests.autobahn WSTEST [CASES]`: WSTEST is the program of autobahntestsuite, which is Python 2's and so has
an environment of its own:

    python2.7 -m pip install 'virtualenv<20.22' && python2.7 -m virtualenv autobahn
    autobahn/bin/pip install autobahntestsuite==25.10.1

CASES are like "6.*,7.*", and all but those on compression (12.* and 13.*), which is not offered, when left out. It
takes some minutes; the reports are left in .autobahn/.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests import echo_server
from tests.parley_process import free_port
from tests.waiting import eventually

_REPORTS = Path(".autobahn")
_AGENT = "parley"
_FAILURES = {"FAILED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT", "UNIMPLEMENTED"}


def fuzz(wstest: str, cases: list[str]) -> dict[str, dict[str, str]]:
    """What Autobahn found, by case."""
    port = free_port()
    _REPORTS.mkdir(exist_ok=True)
    specification = _REPORTS / "fuzzingclient.json"
    specification.write_text(
        json.dumps(
            {
                "outdir": str(_REPORTS),
                "servers": [{"agent": _AGENT, "url": f"ws://127.0.0.1:{port}/echo"}],
                "cases": cases,
                "exclude-cases": ["12.*", "13.*"],
                "exclude-agent-cases": {},
            }
        )
    )
    server = subprocess.Popen(echo_server.command(port))
    try:
        eventually(lambda: _answers(port))
        subprocess.run([wstest, "-m", "fuzzingclient", "-s", specification], check=True, stdout=subprocess.DEVNULL)
    finally:
        server.terminate()
        server.wait(20)
    found: dict[str, dict[str, str]] = json.loads((_REPORTS / "index.json").read_text())[_AGENT]
    return found


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _order(case: str) -> list[int]:
    return [int(part) for part in case.split(".")]


if __name__ == "__main__":
    results = fuzz(sys.argv[1], sys.argv[2].split(",") if len(sys.argv) > 2 else ["*"])
    for case in sorted(results, key=_order):
        result = results[case]
        if {result["behavior"], result["behaviorClose"]} != {"OK"}:
            print(f"{case}: {result['behavior']}, closing {result['behaviorClose']}")  # noqa: T201
    print(len(results), "cases:", dict(Counter(result["behavior"] for result in results.values())))  # noqa: T201
    print("closing:", dict(Counter(result["behaviorClose"] for result in results.values())))  # noqa: T201
    failed = [case for case, result in results.items() if _FAILURES & {result["behavior"], result["behaviorClose"]}]
    sys.exit(f"failed: {', '.join(sorted(failed, key=_order))}" if failed else 0)
