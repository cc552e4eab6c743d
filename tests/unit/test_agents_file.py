"""What an agents file may say, and what is said of each mistake in it: its line, and what would be right."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from adapters.toml.agents import AgentsFile, read_agents_file
from adapters.toml.lines import Lines
from application.ports.runtime import Misconfigured
from domain.agents import ALL_KNOWLEDGE, BUILT_IN, NO_KNOWLEDGE, Agent, AgentLimits, KnowledgeScope
from domain.prices import Price

_TOOLS = ("search_knowledge", "current_time")

_WHOLE = '''\
default = "support"

[agents.support]
description = "Answers customers."
instructions = """
You answer customers.
Be brief.
"""
model = "gpt-4o"
temperature = 0
tools = ["search_knowledge", "current_time"]
knowledge = ["handbook", "faq"]

[agents.support.limits]
history = 10
passages = 6
passage_tokens = 3000
timeout = 60
max_tokens = 800

[agents.poet]
description = "Writes verse."
instructions = "You write verse."
knowledge = "none"

[prices."gpt-4o-mini"]
input = 0.15
output = 0.60

[prices.local]
input = 0
output = 0
currency = "EUR"
'''

_AGENT = '[agents.a]\ndescription = "d"\ninstructions = "i"\n'


def read(tmp_path: Path, content: str | bytes) -> AgentsFile:
    path = tmp_path / "agents.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_agents_file(path, _TOOLS)


def problems(tmp_path: Path, content: str | bytes) -> list[str]:
    with pytest.raises(Misconfigured) as refused:
        read(tmp_path, content)
    return refused.value.message.splitlines()


def test_agents_stand_beside_the_built_in_ones_and_one_of_them_is_the_default(tmp_path: Path) -> None:
    agents = read(tmp_path, _WHOLE).agents

    assert list(agents) == ["support", *BUILT_IN, "poet"]
    assert agents.default == Agent(
        "support",
        "Answers customers.",
        "You answer customers.\nBe brief.",
        model="gpt-4o",
        temperature=0.0,
        tools=("search_knowledge", "current_time"),
        knowledge=KnowledgeScope(frozenset({"handbook", "faq"})),
        limits=AgentLimits(history=10, passages=6, passage_tokens=3000, timeout=60.0, max_tokens=800),
    )
    assert agents["poet"] == Agent("poet", "Writes verse.", "You write verse.", knowledge=NO_KNOWLEDGE)


def test_prices_are_per_million_tokens(tmp_path: Path) -> None:
    prices = read(tmp_path, _WHOLE).prices

    assert prices == {"gpt-4o-mini": Price(0.15, 0.6), "local": Price(0.0, 0.0, "EUR")}
    assert prices["gpt-4o-mini"].cost(2_000_000, 500_000) == pytest.approx(0.6)


def test_the_built_in_agents_can_be_left_out(tmp_path: Path) -> None:
    agents = read(tmp_path, f"built_in = false\n{_AGENT}").agents

    assert list(agents) == ["a"]
    assert agents.default.knowledge == ALL_KNOWLEDGE
    assert agents.default.limits == AgentLimits()


def test_without_a_default_it_stays_the_built_in_one(tmp_path: Path) -> None:
    assert read(tmp_path, _AGENT).agents.default is BUILT_IN.default


def test_a_built_in_agent_can_be_the_default(tmp_path: Path) -> None:
    assert next(iter(read(tmp_path, 'default = "skills"').agents)) == "skills"


def test_lines_may_end_as_windows_ends_them_after_a_byte_order_mark(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbf" + _WHOLE.replace("\n", "\r\n").encode()).agents["support"].model == "gpt-4o"


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (f"{_AGENT}temperature = 2.1", 4, "agents.a.temperature must be between 0 and 2."),
        (f"{_AGENT}temperature = nan", 4, "agents.a.temperature must be between 0 and 2."),
        (f"{_AGENT}temperature = true", 4, "agents.a.temperature must be a number between 0 and 2."),
        (f'{_AGENT}temperature = "hot"', 4, "agents.a.temperature must be a number between 0 and 2."),
        (f"{_AGENT}\n# …\nmodel = 4", 6, "agents.a.model must be text."),
        (f'{_AGENT}model = " "', 4, "agents.a.model must have 1 to 200 characters, not 0."),
        (f'{_AGENT}model = "\\u0000"', 4, "agents.a.model must not hold the NUL character."),
        (f"{_AGENT}tone = 1", 4, "agents.a.tone is not known here. There are: description, instructions, model, "),
        (f"{_AGENT}tools = 'current_time'", 4, "agents.a.tools must be an array of texts."),
        (f"{_AGENT}tools = [1]", 4, "agents.a.tools must be an array of texts."),
        (
            f'{_AGENT}tools = [\n  "current_time", # ]\n  "weather",\n]',
            6,
            "agents.a.tools names 'weather', which is no tool. There are: current_time, search_knowledge.",
        ),
        (f'{_AGENT}tools = ["current_time",\n"current_time"]', 5, "agents.a.tools names 'current_time' twice."),
        (f'{_AGENT}knowledge = "some"', 4, 'agents.a.knowledge must be "all", "none" or an array of project keys.'),
        (f"{_AGENT}knowledge = []", 4, 'agents.a.knowledge names no project. For none at all, write "none".'),
        (f"{_AGENT}knowledge = [{{}}]", 4, "agents.a.knowledge must be an array of texts."),
        (f'{_AGENT}knowledge = ["a", "B b"]', 4, "agents.a.knowledge names 'B b', which is no key of a project: "),
        (f"{_AGENT}limits = 5", 4, "agents.a.limits must be a table."),
        (f"{_AGENT}[agents.a.limits]\nhistory = 0", 5, "agents.a.limits.history must be a whole number between 1 and"),
        (f"{_AGENT}limits = {{ passages = 21 }}", 4, "agents.a.limits.passages must be a whole number between 0 and"),
        (f"{_AGENT}limits.passage_tokens = 1.5", 4, "agents.a.limits.passage_tokens must be a whole number between"),
        (f"{_AGENT}limits.max_tokens = true", 4, "agents.a.limits.max_tokens must be a whole number between 1 and"),
        (f"{_AGENT}limits.timeout = 0", 4, "agents.a.limits.timeout must be above 0 and at most 3,600."),
        (f"{_AGENT}limits.timeout = inf", 4, "agents.a.limits.timeout must be above 0 and at most 3,600."),
        (f"{_AGENT}limits.time = 5", 4, "agents.a.limits.time is not known here. There are: history, passages, "),
        ('\n[agents.a]\ninstructions = "i"', 2, "agents.a.description is missing."),
        ('[agents]\na.description = "d"', 2, "agents.a.instructions is missing."),
        (f'[agents.a]\ndescription = "{"d" * 301}"\ninstructions = "i"', 2, "agents.a.description must have 1 to 300"),
        (
            f'[agents.a]\ndescription = "d"\ninstructions = """\n{"i" * 20_001}"""',
            3,
            "agents.a.instructions must have 1 to 20,000 characters, not 20,001.",
        ),
        ("[agents.Support]", 1, "agents.Support is no name of an agent: a small letter, then"),
        ('[agents."a b"]', 1, "agents.'a b' is no name of an agent: a small letter, then"),
        ("[agents.general]", 1, "agents.general is the name of a built-in agent. Choose another, or say built_in"),
        ("[agents]\na = 1", 2, "agents.a must be a table."),
        ("[[agents]]\na = 1", 1, "agents must be a table."),
        ("agents = []", 1, "agents must be a table."),
        (f'\ndefault = "b"\n{_AGENT}', 2, "default must be the name of an agent. There are: general, project, "),
        ("default = []", 1, "default must be the name of an agent."),
        ("built_in = 0", 1, "built_in must be true or false."),
        ("\nbuilt_in = false", 2, "built_in leaves nobody who answers: define an agent."),
        ("agent = 1", 1, "agent is not known here. There are: default, built_in, agents, prices."),
        ("[prices.m]\ninput = 1", 1, "prices.m.output is missing."),
        ('[prices."m-1.5"]\ninput = 1\noutput = -1', 3, "prices.'m-1.5'.output must be between 0 and 1,000,000."),
        ('[prices.m]\ninput = "1"\noutput = 1', 2, "prices.m.input must be a number between 0 and 1,000,000."),
        ('[prices.m]\ninput = 1\noutput = 1\ncurrency = "$"', 4, "prices.m.currency must be an ISO 4217 code"),
        ("[prices.m]\ninput = 1\noutput = 1\nper = 1000", 4, "prices.m.per is not known here. There are: input, "),
        ("prices = 1", 1, "prices must be a table."),
        ("", 1, "holds nothing: no agents and no prices."),
        ("# only a comment\n", 1, "holds nothing: no agents and no prices."),
        ('[agents.a]\ndescription = "d\n', 2, "Illegal character"),
        ("a = 1\nb =\n", 2, "Invalid value, in column 4."),
        ("[agents.a]\n[agents.b]\n[agents.a]\n", 3, "Cannot declare ('agents', 'a') twice, in column 10."),
        ("a = [1,\n2", 2, ""),
        (b"a = 1\nb = '\xff'\n", 2, "is no UTF-8."),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, content: str | bytes, line: int, problem: str) -> None:
    [said] = problems(tmp_path, content)

    assert said.startswith(f"agents.toml, line {line}: {problem}")
    assert said.endswith(".")


def test_all_mistakes_are_named_at_once_from_the_top(tmp_path: Path) -> None:
    content = f"default = 1\n{_AGENT}temperature = 3\ntools = ['x']\n[prices.m]\ninput = 'a'\noutput = 1\n"

    assert [said.split(":")[0] for said in problems(tmp_path, content)] == [
        "agents.toml, line 1",
        "agents.toml, line 5",
        "agents.toml, line 6",
        "agents.toml, line 8",
    ]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"nowhere\.toml cannot be read: No such file or directory"):
        read_agents_file(tmp_path / "nowhere.toml", _TOOLS)


def test_a_number_without_end_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path, "built_in = " + "9" * 5000)[0].startswith("agents.toml: Exceeds the limit")


def test_a_file_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path, "a = " + "[" * 50_000) == ["agents.toml is nested too deeply."]


def test_each_value_stands_where_it_is_written() -> None:
    document = '''\
# [not.a.table]
plain = "a # b" # [c]
quoted."d e".'f.g' = 'h = "i"'
"q\\"uoted" = """
[not.a.table]
not = "a key" \\""" still
"""" # four quotes
literal = \'\'\'
\\\'\'\'
array = [ # [
  1, [2,
  3], "]",
  { x = "}", y = [4,
  5] },
]
date = 1979-05-27 07:32:00
empty = {}

[ table . "sub.table" ]
a = 1
[[many]]
b = 2
[[many]]
[table]
c.d = -1.5e3
c.e = true
'''
    tomllib.loads(document)
    lines = Lines(document)

    written = {
        ("plain",): 2,
        ("quoted",): 3,
        ("quoted", "d e", "f.g"): 3,
        ('q"uoted',): 4,
        ("literal",): 8,
        ("array",): 10,
        ("array", 0): 11,
        ("array", 1): 11,
        ("array", 1, 1): 12,
        ("array", 2): 12,
        ("array", 3): 13,
        ("date",): 16,
        ("empty",): 17,
        ("table", "sub.table"): 19,
        ("table", "sub.table", "a"): 20,
        ("many", "b"): 22,
        ("table",): 24,
        ("table", "c", "d"): 25,
        ("table", "c", "e"): 26,
        ("table", "c", "missing"): 25,
        ("missing",): 1,
    }
    assert {path: lines.of(path) for path in written} == written
