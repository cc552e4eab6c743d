"""How a greenlet waits for PostgreSQL.

psycopg waits through the patched `select` module, which makes several objects for every answer. This does the
same with one, and does not wait for ever on a server that was stopped: that ends no statement by itself.
"""

from __future__ import annotations

from typing import Any, TypeVar

from gevent.socket import wait_read, wait_readwrite, wait_write
from psycopg import Connection, OperationalError
from psycopg.abc import PQGen
from psycopg.waiting import READY_R, READY_RW, READY_W, WAIT_R, WAIT_W

_PATIENCE = 20.0
"""Seconds without a sign of life: more than any statement is allowed to take."""

RV = TypeVar("RV")


class GreenConnection(Connection[Any]):
    """A connection for programs that gevent has patched."""

    def wait(self, gen: PQGen[RV], interval: float = 0.0, timeout: float | None = None) -> RV:
        """Drive `gen` to its end; raises OperationalError when the server shows no sign of life."""
        socket = self.pgconn.socket
        patience = min(timeout or _PATIENCE, _PATIENCE)
        try:
            wanted = next(gen)
            while True:
                silence = OperationalError(f"no sign of life for {patience:g} seconds")
                if wanted == WAIT_R:
                    wait_read(socket, patience, silence)
                    ready = READY_R
                elif wanted == WAIT_W:
                    wait_write(socket, patience, silence)
                    ready = READY_W
                else:
                    wait_readwrite(socket, patience, silence)
                    ready = READY_RW
                wanted = gen.send(ready)
        except StopIteration as end:
            answer: RV = end.value
            return answer
        except BaseException:
            # The answer that was waited for may still come, and must not be taken for the next one's.
            self.close()
            raise
