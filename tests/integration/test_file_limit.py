"""How many files, and so connections, a process may open."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
from entrypoints.starting import allow_files
print(allow_files(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "allowed"), [(256, 512, 512), (512, 512, 512), (256, 100_000, 65_536), (80_000, 100_000, 80_000)]
)
def test_the_soft_limit_is_raised_towards_the_hard_one(soft: int, hard: int, allowed: int) -> None:
    if not 0 <= hard <= resource.getrlimit(resource.RLIMIT_NOFILE)[1]:
        pytest.skip("this machine allows fewer")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(soft), str(hard)], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.split() == [str(allowed), str(allowed), str(hard)]
