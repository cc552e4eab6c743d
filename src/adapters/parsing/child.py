"""A process for one document, which nobody misses: `python -P -m adapters.parsing.child`.

On its standard input are a line of JSON (`name`, `media_type`, `max_characters`, `max_pieces`, `seconds`, `memory`)
and the document; on its standard output is JSON, the document's pieces or what is wrong with it.
"""

from __future__ import annotations

import json
import resource
import sys
from contextlib import suppress

from application.ports.parsing import DocumentUnreadable


def main() -> None:
    """Read the document and say what is in it."""
    request = json.loads(sys.stdin.buffer.readline())
    _confine(seconds=request.pop("seconds"), memory=request.pop("memory"))
    sys.stdout.buffer.write(_answer(sys.stdin.buffer.read(), **request))


def _confine(*, seconds: int, memory: int) -> None:
    """Bound what this process may take from the machine."""
    for what, most in (
        (resource.RLIMIT_AS, memory),  # Bytes; macOS has no such limit.
        (resource.RLIMIT_CPU, seconds),  # For when whoever waits for the answer has died.
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(OSError, ValueError):
            resource.setrlimit(what, (most, most))


def _answer(content: bytes, *, name: str, media_type: str | None, max_characters: int, max_pieces: int) -> bytes:
    # Parsers are imported only where the limits hold.
    from adapters.parsing.kinds import kind_of
    from adapters.parsing.reading import Bounds, pieces_of

    try:
        kind, text = kind_of(content, name=name, media_type=media_type)
        parsed = pieces_of(kind, content, text, Bounds(max_characters, max_pieces))
        pieces = [(piece.heading, piece.text, piece.page) for piece in parsed.pieces]
        return _json(title=parsed.title, media_type=kind, characters=parsed.characters, pieces=pieces)
    except DocumentUnreadable as unreadable:
        return _json(slug=unreadable.slug, message=unreadable.message, details=unreadable.details)
    except ImportError:
        raise  # What is wrong is the installation.
    except MemoryError:
        return _json(slug="document_too_large", message="The document takes too much memory to read.", details={})
    except RecursionError:
        return _json(slug="document_too_large", message="The document is nested too deeply.", details={})
    except Exception as error:  # Parsers raise anything at all on documents that somebody has tampered with.
        cause = f"{type(error).__name__}: {error}"
        return _json(slug="document_broken", message="The document is damaged.", details={}, cause=cause[:500])


def _json(**answer: object) -> bytes:
    return json.dumps(answer, ensure_ascii=False).encode("utf-8", errors="replace")


if __name__ == "__main__":
    main()
