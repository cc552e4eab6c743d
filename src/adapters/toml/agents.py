"""The agents file: who answers, and what the models cost. All that is wrong in it is said at once, line by line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from adapters.toml import lines
from application.ports.runtime import Misconfigured
from domain.agents import ALL_KNOWLEDGE, BUILT_IN, NO_KNOWLEDGE, Agent, AgentLimits, Agents, KnowledgeScope
from domain.prices import Price, Prices

_AGENT = re.compile(r"[a-z][a-z0-9_-]{0,99}")
_PROJECT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?")
_CURRENCY = re.compile(r"[A-Z]{3}")

_TOP = ("default", "built_in", "agents", "prices")
_KEYS = ("description", "instructions", "model", "temperature", "tools", "knowledge", "limits")
_LIMITS = {"history": (1, 1000), "passages": (0, 20), "passage_tokens": (1, 1_000_000), "max_tokens": (1, 1_000_000)}
_LONGEST = 3600
_NAMES = 100

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class AgentsFile:
    """What an agents file says."""

    agents: Agents
    prices: Prices


def read_agents_file(path: Path, tools: Collection[str]) -> AgentsFile:
    """The agents and prices of a TOML file, see docs/agents.md. `tools` are the names of those that there are.

    Raises Misconfigured with every problem in it, a line each.
    """
    try:
        document = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as misfit:
        line = misfit.object.count(b"\n", 0, misfit.start) + 1
        raise Misconfigured(f"{path.name}, line {line}: is no UTF-8.") from None
    except OSError as failure:
        raise Misconfigured(f"{path} cannot be read: {failure.strerror}.") from None
    try:
        content = tomllib.loads(document)
        where = lines.Lines(document)
    except ValueError as misfit:  # TOMLDecodeError, or a number of thousands of digits.
        raise Misconfigured(f"{path.name}{_where(str(misfit), document)}") from None
    except RecursionError:
        raise Misconfigured(f"{path.name} is nested too deeply.") from None
    return _Reading(path.name, where, tools).read(content)


class _Reading:
    """One go through a file, that notes what is wrong and carries on."""

    def __init__(self, name: str, where: lines.Lines, tools: Collection[str]) -> None:
        self._name = name
        self._lines = where
        self._tools = tools
        self._problems: list[tuple[int, str]] = []

    def read(self, content: Mapping[str, Any]) -> AgentsFile:
        top = _Table(self, (), content)
        top.know(_TOP)
        built_in = top.take("built_in", _boolean)
        agents = dict(BUILT_IN) if built_in is not False else {}
        written = top.table("agents")
        for name in written.keys:
            if not _AGENT.fullmatch(name):
                written.note(name, "is no name of an agent: a small letter, then up to 99 of a-z, 0-9, _ and -.")
            elif name in agents:
                written.note(name, "is the name of a built-in agent. Choose another, or say built_in = false.")
            else:
                agents[name] = self._agent(name, written.table(name))
        priced = top.table("prices")
        prices = {model: self._price(priced.table(model)) for model in priced.keys}
        if not content:
            self.note((), "holds nothing: no agents and no prices.")
        elif not agents:
            top.note("built_in", "leaves nobody who answers: define an agent.")
        default = top.take("default", _one_of(agents))
        self._raise()
        first = agents.pop(default) if default is not None else None
        return AgentsFile(Agents(*([first] if first else []), *agents.values()), prices)

    def note(self, path: lines.Path, problem: str) -> None:
        """Something is wrong with the value at `path`."""
        self._problems.append((self._lines.of(path), f"{_dotted(path)} {problem}".strip()))

    def _agent(self, name: str, table: _Table) -> Agent:
        table.know(_KEYS)
        limits = table.table("limits")
        limits.know([bound.name for bound in fields(AgentLimits)])
        return Agent(
            name,
            table.take("description", _text(300), required=True) or "",
            table.take("instructions", _text(20_000), required=True) or "",
            model=table.take("model", _text(200)),
            temperature=table.take("temperature", _number(0, 2)),
            tools=table.names("tools", self._tool) or (),
            knowledge=self._knowledge(table),
            limits=AgentLimits(
                **{bound: limits.take(bound, _whole(*range_)) for bound, range_ in _LIMITS.items()},
                timeout=limits.take("timeout", _number(0, _LONGEST, above=True)),
            ),
        )

    def _knowledge(self, table: _Table) -> KnowledgeScope:
        match table.value("knowledge"):
            case None | "all":
                return ALL_KNOWLEDGE
            case "none":
                return NO_KNOWLEDGE
            case []:
                table.note("knowledge", 'names no project. For none at all, write "none".')
            case list():
                return KnowledgeScope(frozenset(table.names("knowledge", _project_key) or ()))
            case _:
                table.note("knowledge", 'must be "all", "none" or an array of project keys.')
        return NO_KNOWLEDGE

    def _tool(self, name: str) -> str:
        if name not in self._tools:
            raise ValueError(f"names {name[:100]!r}, which is no tool. There are: {', '.join(sorted(self._tools))}.")
        return name

    @staticmethod
    def _price(table: _Table) -> Price:
        table.know([part.name for part in fields(Price)])
        most = 1_000_000
        return Price(
            table.take("input", _number(0, most), required=True) or 0.0,
            table.take("output", _number(0, most), required=True) or 0.0,
            table.take("currency", _currency) or "USD",
        )

    def _raise(self) -> None:
        if self._problems:
            told = [f"{self._name}, line {line}: {problem}" for line, problem in sorted(self._problems)]
            raise Misconfigured("\n".join(told))


class _Table:
    """A table of the file and where it stands; one that is missing is empty."""

    def __init__(self, reading: _Reading, path: lines.Path, content: Any) -> None:
        self._reading = reading
        self._path = path
        self._is_table = isinstance(content, dict)
        self._content: Mapping[str, Any] = content if self._is_table else {}

    @property
    def keys(self) -> Collection[str]:
        return self._content.keys()

    def value(self, key: str) -> Any:
        return self._content.get(key)

    def note(self, key: str, problem: str) -> None:
        self._reading.note((*self._path, key), problem)

    def know(self, keys: Collection[str]) -> None:
        """Note every key that is not among these."""
        for key in self._content:
            if key not in keys:
                self.note(key, f"is not known here. There are: {', '.join(keys)}.")

    def table(self, key: str) -> _Table:
        content = self._content.get(key, {})
        if not isinstance(content, dict):
            self.note(key, "must be a table.")
        return _Table(self._reading, (*self._path, key), content)

    def take(self, key: str, check: Callable[[Any], Value], *, required: bool = False) -> Value | None:
        """A value as `check` returns it; None, and noted, where that raises ValueError with what is wrong."""
        if key not in self._content:
            if required and self._is_table:
                self.note(key, "is missing.")
            return None
        try:
            return check(self._content[key])
        except ValueError as wrong:
            self.note(key, str(wrong))
            return None

    def names(self, key: str, check: Callable[[str], str]) -> tuple[str, ...] | None:
        """An array of names, each once."""
        names = self.take(key, _array_of_text)
        for place, name in enumerate(names or ()):
            try:
                check(name)
                if name in (names or ())[:place]:
                    raise ValueError(f"names {name!r} twice.")
            except ValueError as wrong:
                self._reading.note((*self._path, key, place), str(wrong))
        return names


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false.")
    return value


def _text(most: int) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("must be text.")
        if not 1 <= len(value.strip()) <= most:
            raise ValueError(f"must have 1 to {most:,} characters, not {len(value.strip()):,}.")
        if "\x00" in value:
            raise ValueError("must not hold the NUL character.")
        return value.strip()

    return check


def _number(least: float, most: float, *, above: bool = False) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not least <= value <= most or (above and value == least):
            bounds = f"above {least:g} and at most {most:,}" if above else f"between {least:g} and {most:,}"
            raise ValueError(f"must be {bounds}." if number else f"must be a number {bounds}.")
        return float(value)

    return check


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"must be a whole number between {least:,} and {most:,}.")
        return value

    return check


def _one_of(agents: Collection[str]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in agents:
            raise ValueError(f"must be the name of an agent. There are: {', '.join(agents)}.")
        return value

    return check


def _array_of_text(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("must be an array of texts.")
    if len(value) > _NAMES:
        raise ValueError(f"must name at most {_NAMES}.")
    return tuple(value)


def _project_key(key: str) -> str:
    if not _PROJECT.fullmatch(key):
        raise ValueError(
            f"names {key[:100]!r}, which is no key of a project: 1 to 60 small letters, digits and hyphens."
        )
    return key


def _currency(value: Any) -> str:
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
        raise ValueError("must be an ISO 4217 code, such as USD.")
    return value


def _dotted(path: lines.Path) -> str:
    """`agents.support.tools`, keys as TOML would have them; the places in arrays have lines of their own."""
    keys = [key for key in path if isinstance(key, str)]
    return ".".join(key if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", key) else repr(key[:100]) for key in keys)


def _where(message: str, document: str) -> str:
    """The library's `Invalid value (at line 3, column 7)` as `, line 3: Invalid value, in column 7.`"""
    if found := re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL):
        return f", line {found[2]}: {found[1]}, in column {found[3]}."
    if message.endswith(end := " (at end of document)"):
        return f", line {document.count(chr(10)) + 1}: {message.removesuffix(end)}, at the end."
    return f": {message}."
