"""The replies that one socket follows: their events, in order, each once."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

from application.facade import Application
from application.ports.runtime import LogEntry
from application.replies.watching import WatchReply
from domain.errors import Limited
from domain.identity import Principal
from entrypoints.websocket.connection import Closed

log = logging.getLogger(__name__)

_REMEMBERED = 64
"""Replies of which a socket knows that it has told of them."""


class Following:
    """Tells of replies' events by `say(event, **members)`, which may wait for the client and raise Closed.

    Nothing is queued: a log is read on when its last event was said.
    """

    def __init__(self, app: Application, principal: Principal, at_most: int, say: Callable[..., None]) -> None:
        self._app = app
        self._principal = principal
        self._at_most = at_most
        self._say = say
        self._turn = threading.Lock()  # held while an event is said, and while followers change
        self._followers: dict[UUID, object] = {}
        self._told: deque[UUID] = deque(maxlen=_REMEMBERED)

    def knows(self, reply_id: UUID) -> bool:
        """Whether the client was told of a reply, or is being told."""
        return reply_id in self._told

    def follow(self, reply_id: UUID, after: int) -> bool:
        """Tell of a reply's events after a number, from now on, in place of whatever was told of it so far.

        False when there is none to come. Raises NotFound or Forbidden, or Limited `too_many_streams`.
        """
        if len(self._followers) >= self._at_most and reply_id not in self._followers:
            raise Limited("too_many_streams", "You follow too many replies on this socket.", retry_after=5)
        batches = self._app.replies.watch(WatchReply(principal=self._principal, reply_id=reply_id, after=after))
        self._told.append(reply_id)
        follower = object()
        with self._turn:
            self._followers.pop(reply_id, None)
            if batches is None:
                return False
            self._followers[reply_id] = follower
        threading.Thread(
            target=self._tell, args=(reply_id, batches, follower), name="chat-follower", daemon=True
        ).start()
        return True

    def leave(self) -> None:
        """Tell of nothing any more."""
        self._followers.clear()

    def _tell(self, reply_id: UUID, batches: Iterator[Sequence[LogEntry]], follower: object) -> None:
        try:
            for batch in batches:
                for entry in batch:
                    with self._turn:
                        if self._followers.get(reply_id) is not follower:
                            return
                        self._say(entry.event, **{**entry.data, "reply_id": reply_id, "seq": entry.seq})
                if self._followers.get(reply_id) is not follower:
                    return
        except Closed:
            pass
        except Exception as failure:
            log.warning("reply %s can no longer be followed on a socket: %s", reply_id, failure)
        finally:
            if self._followers.get(reply_id) is follower:
                del self._followers[reply_id]
