"""A whole history that comes from elsewhere: a tree of messages, told position by position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from domain.errors import Invalid
from domain.messages import Message


@dataclass(slots=True)
class History:
    """Takes the messages of a conversation in the order of their positions and versions, and sees that they are one.

    What can be concluded from them is not believed but concluded: how many `alternatives` each has, which message is
    the `head` of the current branch and how many are on it (`count`), and how far other branches `reached`. Of the
    messages it keeps those of two positions.
    """

    head: Message | None = None
    count: int = 0
    reached: int | None = None
    _before: set[UUID] = field(default_factory=set)
    """The messages of the position before."""
    _here: list[Message] = field(default_factory=list)
    """Those of the present position."""
    _position: int = 0

    def take(self, message: Message) -> Sequence[Message]:
        """Take the next one; the messages of the position before, once all of those are there. Raises Invalid."""
        done: Sequence[Message] = ()
        if not self._here or message.position != self._here[0].position:
            done = self._close()
        expected = self._here[0].position if self._here else self._position + 1
        if message.position != expected:
            raise Invalid({"position": f"Must be {expected}: positions follow each other from 1 on."})
        if message.version != len(self._here) + 1:
            raise Invalid({"version": f"Must be {len(self._here) + 1}: versions of a position are numbered from 1."})
        if message.position == 1 and message.parent_id is not None:
            raise Invalid({"parent_id": "Must be null: nothing comes before position 1."})
        if message.position > 1 and message.parent_id not in self._before:
            raise Invalid({"parent_id": "Must be a message of the position before."})
        if message.superseded_by is None:
            self._go_on(message)
        else:
            self.reached = message.position
        self._here.append(message)
        return done

    def finish(self) -> Sequence[Message]:
        """The messages of the last position."""
        return self._close()

    def _go_on(self, message: Message) -> None:
        """Follow the current branch, on which there is one message a position."""
        if message.position != self.count + 1:
            raise Invalid(
                {"superseded_by": "Must not be null: another message is current at this position, or before."}
            )
        if self.head is not None and message.parent_id != self.head.id:
            raise Invalid({"parent_id": "Must be the current message of the position before: this one is current."})
        self.head = message
        self.count += 1

    def _close(self) -> Sequence[Message]:
        done = self._here
        beside = Counter(message.parent_id for message in done)
        for message in done:
            message.alternatives = beside[message.parent_id] - 1
        if done:
            self._before = {message.id for message in done}
            self._position = done[0].position
        self._here = []
        return done
