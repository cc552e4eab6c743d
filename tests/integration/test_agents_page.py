"""What docs/agents.md shows works as it stands there."""

from __future__ import annotations

import re
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from adapters.toml.agents import read_agents_file
from adapters.tools.plugins import GROUP, plugin_tools
from adapters.tools.schemas import compile_schema
from application.ports.language import ToolCall
from application.ports.tools import ToolContext
from application.tools import Toolbox

_PAGE = (Path(__file__).resolve().parents[2] / "docs" / "agents.md").read_text()


def block(language: str, beginning: str) -> str:
    """The first block of a language that begins so."""
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", _PAGE, re.DOTALL)
    return next(code for code in blocks if code.startswith(beginning))


def test_the_agents_and_prices_of_the_page_are_read(tmp_path: Path) -> None:
    path = tmp_path / "agents.toml"
    path.write_text(block("toml", "default") + block("toml", "[prices"))

    file = read_agents_file(path, ["search_knowledge", "current_time"])

    assert file.agents.default.name == "support"
    assert file.prices["gpt-4o-mini"].currency == "USD"


def test_the_plugin_of_the_page_answers_its_customer_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads(block("toml", "[project]"))["project"]
    info = tmp_path / "book_shop_tools-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = "\n".join(f"{name} = {value}" for name, value in project["entry-points"][GROUP].items())
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{points}\n")
    (tmp_path / "book_shop_tools.py").write_text(block("python", '"""book_shop_tools.py"""'))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "book_shop_tools", raising=False)

    box = Toolbox(plugin_tools((), compile_schema), compile_schema)

    def ask(principal: str, number: str) -> str:
        context = ToolContext(
            principal=principal,
            conversation_id=UUID(int=1),
            reply_id=UUID(int=2),
            agent="support",
            project_id=None,
            now=datetime.now(UTC),
        )
        call = ToolCall(id="1", name="find_order", arguments=f'{{"number": "{number}"}}')
        return box.run(call, context, allowed=["find_order"], within=5).content

    assert ask("user:alice", "1007") == '{"state": "sent", "due": "2031-07-04"}'
    assert ask("user:bob", "1007").startswith("Error: You have no order with this number.")
    assert "'7' does not match" in ask("user:alice", "7")
