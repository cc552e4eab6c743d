"""What a running Parley says of itself in its log. Message texts and secrets are never logged."""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from types import TracebackType
from typing import Any

from application.telemetry import bound_ids

Fields = MutableMapping[str, Any]

_TALKATIVE = ("httpx2", "httpcore2", "openai", "alembic", "urllib3", "pymongo", "rq.worker", "markdown_it")
"""Loggers that tell every request, or every job, at INFO or DEBUG."""

_QUERY = re.compile(r"\?\S*")

_MALFORMED = re.compile(r"(Invalid request from ip=[^ ]*: ).*", re.DOTALL)


def configure_logging(level: str, style: str = "plain") -> None:
    """Log to standard error, a line an event.

    `json`: an object a line; `console`: for people to read; `auto`: the one or the other as standard error is a
    terminal or not. `plain` is for commands, which have little to say. Exceptions that nobody catches are logged too.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(style))
    handler.addFilter(_redact)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    # Nobody is told of these, and finding them out is a good part of the cost of a line.
    logging._srcfile = None  # noqa: SLF001 # as "Optimization" in the logging HOWTO has it
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    if style != "plain":
        threading.excepthook = _log_lost_thread
        _log_lost_greenlets()


def count_lines(count: Callable[[str], None]) -> None:
    """Call `count` with the level of each line from warnings upwards."""
    logging.getLogger().addHandler(_Counting(count))


def trace_lines(current: Callable[[], Mapping[str, str]]) -> None:
    """Have every line carry what `current` says of the present trace."""
    _tracing.append(current)


_tracing: list[Callable[[], Mapping[str, str]]] = []


class _Counting(logging.Handler):
    def __init__(self, count: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._count = count

    def emit(self, record: logging.LogRecord) -> None:
        """Count it."""
        self._count(record.levelname.lower())


def _formatter(style: str) -> logging.Formatter:
    if style == "plain":
        return logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    # Imported here because commands can do without it.
    import structlog

    is_console = style == "console" or (style == "auto" and sys.stderr.isatty())
    before: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_ids,
    ]
    if is_console:
        # Not the library's own way to show exceptions, which shows what stands in local variables.
        last: list[Any] = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    else:
        last = [_structured_exception, _as_json]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )


def _add_ids(logger: object, method: str, fields: Fields) -> Fields:
    for name, value in bound_ids().items():
        fields.setdefault(name, value)
    for current in _tracing:
        fields.update(current())
    return fields


def _structured_exception(logger: object, method: str, fields: Fields) -> Fields:
    """An exception and what caused it, the last first: `{type, message, frames}`, frames as `file:line function`."""
    raised = fields.pop("exc_info", None)
    fields.pop("stack_info", None)
    error = raised[1] if isinstance(raised, tuple) else raised
    if isinstance(error, BaseException):
        fields["exception"] = _told(error)
    return fields


def _told(error: BaseException) -> list[dict[str, Any]]:
    chain: list[dict[str, Any]] = []
    following: BaseException | None = error
    while following is not None and len(chain) < 10:
        frames = traceback.extract_tb(following.__traceback__)
        chain.append(
            {
                "type": f"{type(following).__module__}.{type(following).__qualname__}".removeprefix("builtins."),
                "message": str(following),
                "frames": [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames[-40:]],
            }
        )
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
    return chain


def _short(path: str) -> str:
    """A file's path from the package on: where it is installed does not matter."""
    return re.sub(r"^.*/(?:site-packages|src|python3\.\d+)/", "", path)


def _as_json(logger: object, method: str, fields: Fields) -> str:
    import orjson

    first = {name: fields.pop(name) for name in ("timestamp", "level", "logger", "event") if name in fields}
    return orjson.dumps({**first, **fields}, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _redact(record: logging.LogRecord) -> bool:
    """Take out of gunicorn's own lines what clients wrote: what follows a path, and requests that are none."""
    if record.name == "gunicorn.error":
        record.msg, record.args = _MALFORMED.sub(r"\1it is malformed", _QUERY.sub("?…", record.getMessage())), ()
    return True


def _log_lost_thread(lost: threading.ExceptHookArgs) -> None:
    if lost.exc_value is not None and not isinstance(lost.exc_value, SystemExit):
        name = lost.thread.name if lost.thread is not None else "a thread"
        logging.getLogger("threading").error("%s ended", name, exc_info=lost.exc_value)


def _log_lost_greenlets() -> None:
    """Have gevent tell the log, instead of writing to standard error by itself; where it runs things at all."""
    hubs = sys.modules.get("gevent.hub")
    if hubs is None:
        return

    def tell(
        hub: object, context: object, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        logging.getLogger("gevent").error("a greenlet ended", exc_info=(kind, error, trace))

    hubs.Hub.print_exception = tell
