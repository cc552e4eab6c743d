"""Tools of other packages: real distributions on the path, found by their entry points."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from adapters.tools.plugins import plugin_tools
from adapters.tools.schemas import compile_schema
from application.ports.language import ToolCall
from application.ports.runtime import Misconfigured
from application.ports.tools import Tool, ToolContext
from application.tools import Toolbox

_TOOL = """
from application.ports.tools import Tool, ToolFailure

def run(context, arguments):
    if arguments["city"] == "Atlantis":
        raise ToolFailure("There is no weather in Atlantis.")
    return {"city": arguments["city"], "for": context.principal, "celsius": 21}

def a_tool(name="weather", **changes):
    given = dict(
        name=name,
        description="Tells the weather of a city.",
        parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        run=run,
    )
    return Tool(**{**given, **changes})

"""


class Packages:
    """Distributions as an installer leaves them: a module beside a dist-info folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.modules: list[str] = []

    def install(self, package: str, code: str, value: str, name: str = "weather") -> None:
        module = package.replace("-", "_")
        self.modules.append(module)
        (self._folder / f"{module}.py").write_text(_TOOL + code)
        info = self._folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[parley.tools]\n{name} = {module}:{value}\n")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Packages]:
    monkeypatch.syspath_prepend(tmp_path)
    packages = Packages(tmp_path)
    yield packages
    for module in packages.modules:
        sys.modules.pop(module, None)


def loaded() -> list[Tool]:
    return plugin_tools({"current_time", "search_knowledge"}, compile_schema)


def test_without_plugins_there_are_no_tools_of_theirs() -> None:
    assert loaded() == []


@pytest.mark.parametrize(
    ("code", "value", "names"),
    [
        ("tool = a_tool()", "tool", ["weather"]),
        ("def make(): return a_tool()", "make", ["weather"]),
        ("def make(): return [a_tool(), a_tool('tides')]", "make", ["weather", "tides"]),
        ("def make(): yield a_tool()", "make", ["weather"]),
        ("tools = ()", "tools", []),
    ],
)
def test_an_entry_point_is_a_tool_or_makes_one_or_several(
    packages: Packages, code: str, value: str, names: list[str]
) -> None:
    packages.install("parley-weather", code, value)

    assert [tool.name for tool in loaded()] == names


def test_a_plugins_tool_answers_the_model(packages: Packages) -> None:
    packages.install("parley-weather", "tool = a_tool()", "tool")
    box = Toolbox(loaded(), compile_schema)
    context = ToolContext(
        principal="visitor:1",
        conversation_id=UUID(int=1),
        reply_id=UUID(int=2),
        agent="general",
        project_id=None,
        now=datetime.now(UTC),
    )

    def say(city: str) -> str:
        call = ToolCall(id="1", name="weather", arguments=f'{{"city": "{city}"}}')
        return box.run(call, context, allowed=["weather"], within=10).content

    assert say("Oslo") == '{"city": "Oslo", "for": "visitor:1", "celsius": 21}'
    assert say("Atlantis") == "Error: There is no weather in Atlantis."


def test_plugins_come_in_the_order_of_their_names(packages: Packages) -> None:
    packages.install("b-weather", "tool = a_tool('b')", "tool", "two")
    packages.install("a-weather", "tool = a_tool('a')", "tool", "one")

    assert [tool.name for tool in loaded()] == ["a", "b"]


@pytest.mark.parametrize(
    ("code", "value", "problem"),
    [
        ("import there_is_no_such_module", "tool", "it cannot be loaded: ModuleNotFoundError: No module named"),
        ("", "tool", "it cannot be loaded: AttributeError: "),
        ("raise SystemExit('bye')", "tool", "it cannot be loaded: SystemExit: bye."),
        ("def tool(): return 1 / 0", "tool", "it cannot be loaded: ZeroDivisionError: division by zero."),
        ("def tool(wanted): ...", "tool", "it cannot be loaded: TypeError: "),
        ("tool = Tool", "tool", "it cannot be loaded: TypeError: "),
        ("tool = 5", "tool", "parley_weather:tool must be a Tool or make one or several, not int."),
        ("def tool(): return None", "tool", "parley_weather:tool must be a Tool or make one or several, not NoneType."),
        ("tool = [a_tool(), 'b']", "tool", "parley_weather:tool must be a Tool or make one or several, not str."),
        ("tool = a_tool('the weather')", "tool", "'the weather' is no name of a tool: 1 to 64 letters"),
        ("tool = a_tool('x' * 65)", "tool", f"'{'x' * 65}' is no name of a tool: 1 to 64 letters"),
        ("tool = a_tool(None)", "tool", "None is no name of a tool: 1 to 64 letters"),
        ("tool = a_tool('current_time')", "tool", "current_time is the name of a tool of Parley already."),
        ("tool = a_tool('search_knowledge')", "tool", "search_knowledge is the name of a tool of Parley already."),
        ("tool = a_tool(description=' ')", "tool", "the description of weather must be text of 1 to 1,024 characters."),
        ("tool = a_tool(run='run')", "tool", "what weather runs must be a function."),
        ("tool = a_tool(timeout=0)", "tool", "the timeout of weather must be above 0 and at most 300 seconds."),
        ("tool = a_tool(timeout=float('nan'))", "tool", "the timeout of weather must be above 0 and at most 300"),
        ("tool = a_tool(timeout='1')", "tool", "the timeout of weather must be above 0 and at most 300 seconds."),
        ("tool = a_tool(parameters=[])", "tool", "the parameters of weather must be a JSON Schema."),
        ("tool = a_tool(parameters={})", "tool", "the parameters of weather are no JSON Schema of an object: must"),
        (
            "tool = a_tool(parameters={'type': 'object', 'required': 'city'})",
            "tool",
            "the parameters of weather are no JSON Schema of an object: required: 'city' is not of type 'array'.",
        ),
    ],
)
def test_a_plugin_that_cannot_be_used_is_named_with_its_package(
    packages: Packages, code: str, value: str, problem: str
) -> None:
    packages.install("parley-weather", code, value)

    with pytest.raises(Misconfigured) as refused:
        loaded()

    assert refused.value.message.startswith(f"The plugin 'weather' of the package parley-weather: {problem}")


def test_two_plugins_cannot_have_tools_of_the_same_name(packages: Packages) -> None:
    packages.install("a-weather", "tool = a_tool()", "tool", "one")
    packages.install("b-weather", "tool = a_tool()", "tool", "two")

    with pytest.raises(Misconfigured) as refused:
        loaded()

    assert refused.value.message == (
        "The plugin 'two' of the package b-weather: "
        "weather is the name of a tool of the plugin 'one' of the package a-weather already."
    )
