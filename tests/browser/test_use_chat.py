"""`useChat` of the AI SDK, unmodified, in a real Chromium: the page of docs/ai-sdk.md against a real Parley.

The page and the packages are bundled in tests/browser/useChat/bundle.js, which `make use-chat` builds anew.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.conftest import with_model
from tests.model_server import ModelServer
from tests.parley_process import Client, ParleyProcess, running
from tests.waiting import eventually

_FILES = Path(__file__).parent / "useChat"

_LONG = "!stream words=100 delay=0.04"
_WHOLE = [f"word{number}" for number in range(100)]
_ENDLESS = "!stream words=400 delay=0.05"


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, parley: ParleyProcess) -> Iterator[Page]:
    """A first visit. No test may leave an error on the console that it did not ask for."""
    page = tab(context, parley.url)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.goto(f"{parley.url}/useChat/index.html")
    yield page
    assert problems == []


def tab(context: BrowserContext, origin: str) -> Page:
    """A tab in which the page is one of this origin's."""
    page = context.new_page()
    page.route(f"{origin}/useChat/*", lambda route: route.fulfill(path=_file(route)))
    return page


def _file(route: Route) -> Path:
    return _FILES / route.request.url.partition("#")[0].rpartition("/")[2]


@contextmanager
def elsewhere() -> Iterator[str]:
    """The origin of a server that has nothing but the page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(_FILES))) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def ask(page: Page, question: str) -> None:
    """Ask, and see the answer begin."""
    questions = page.locator("[data-role=user]")
    asked = questions.count()
    page.get_by_placeholder("Ask…").fill(question)
    page.get_by_role("button", name="Send").click()
    expect(questions).to_have_count(asked + 1)
    expect(page.locator("article").last).to_have_attribute("data-role", "assistant", timeout=20_000)


def ready(page: Page) -> None:
    expect(page.locator("main")).to_have_attribute("data-status", "ready", timeout=20_000)


def shown(page: Page) -> list[str]:
    """The texts of all messages."""
    return [" ".join(each.locator("p").all_inner_texts()).strip() for each in page.locator("article").all()]


def last(page: Page) -> str:
    """The text of the last message, if there is any."""
    return next(iter(shown(page)[::-1]), "")


def edit(page: Page, number: int, text: str) -> None:
    page.once("dialog", lambda dialog: dialog.accept(text))
    page.get_by_role("button", name="Edit").nth(number).click()


def chat_id(page: Page) -> str:
    return str(page.evaluate("location.hash.slice(1)"))


def visitor_of(context: BrowserContext, parley: ParleyProcess) -> Client:
    """The API as the visitor whom the browser is."""
    (token,) = [each["value"] for each in context.cookies() if each["name"] == "parley_visitor"]
    client = Client(parley.url, str(token))
    parley.clients.append(client)
    return client


def test_an_answer_streams_into_the_page(page: Page) -> None:
    ask(page, _LONG)

    eventually(lambda: "word5" in last(page))
    assert "word99" not in last(page)
    expect(page.locator("main")).to_have_attribute("data-status", "streaming")
    ready(page)
    assert last(page).split() == _WHOLE


def test_reloading_in_mid_answer_goes_on_with_the_same_answer(page: Page) -> None:
    ask(page, _LONG)
    eventually(lambda: "word10" in last(page))
    answer = page.locator("article").last.get_attribute("data-id")

    page.reload()

    eventually(lambda: "word20" in last(page))
    ready(page)
    assert last(page).split() == _WHOLE
    assert page.locator("article").last.get_attribute("data-id") == answer
    assert len(shown(page)) == 2


def test_the_plainest_use_of_the_sdk_resumes_too(page: Page, parley: ParleyProcess) -> None:
    page.goto(f"{parley.url}/useChat/index.html#plain|{uuid4()}")
    page.reload()
    ready(page)
    ask(page, _LONG)
    eventually(lambda: "word10" in last(page))

    page.reload()

    eventually(lambda: "word20" in last(page))
    ready(page)
    assert last(page).split() == _WHOLE


def test_one_stops_an_answer_and_keeps_what_was_said(page: Page) -> None:
    ask(page, "!silent after=3")
    eventually(lambda: "word2" in last(page))

    page.get_by_role("button", name="Stop").click()

    ready(page)
    assert last(page) == "word0 word1 word2"
    page.reload()
    ready(page)
    assert last(page) == "word0 word1 word2"
    ask(page, "And on")
    expect(page.locator("article").last).to_have_text("Echo: And on")


def test_an_answer_is_written_anew(page: Page, model: ModelServer) -> None:
    question = f"Again {uuid4()}"
    ask(page, question)
    ready(page)

    page.get_by_role("button", name="Regenerate").click()

    eventually(lambda: len(model.asked(question)) == 2)
    ready(page)
    assert shown(page) == [question, f"Echo: {question}"]
    page.reload()
    ready(page)
    assert shown(page) == [question, f"Echo: {question}"]


def test_questions_are_edited_before_and_after_a_reload(page: Page) -> None:
    for question in ("One", "Two"):
        ask(page, question)
        expect(page.locator("article").last).to_have_text(f"Echo: {question}")
        ready(page)

    edit(page, 1, "Due")
    expect(page.locator("article").last).to_have_text("Echo: Due")
    ready(page)
    page.reload()
    ready(page)
    edit(page, 0, "Uno")

    expect(page.locator("article").last).to_have_text("Echo: Uno")
    page.reload()
    ready(page)
    assert shown(page) == ["Uno", "Echo: Uno"]


def test_an_answer_that_fails_keeps_its_text_and_says_why(page: Page) -> None:
    ask(page, "!cut after=3")

    expect(page.get_by_role("alert")).to_have_text("The connection to the model broke off.")
    assert last(page) == "word0 word1 word2"
    ask(page, "Once more")
    expect(page.locator("article").last).to_have_text("Echo: Once more")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_second_tab_shows_the_same_answer_and_is_told_why_it_cannot_ask(
    page: Page, context: BrowserContext, parley: ParleyProcess
) -> None:
    ask(page, _ENDLESS)
    eventually(lambda: "word2" in last(page))
    second = tab(context, parley.url)
    second.goto(page.url)
    eventually(lambda: "word4" in last(second))
    third = tab(context, parley.url)
    third.goto(f"{parley.url}/useChat/index.html#plain|{chat_id(page)}")
    eventually(lambda: "word4" in last(third))

    refused = third.evaluate(
        """async (id) => {
            const chat = new window.sdk.Chat({ id });
            await chat.sendMessage({ text: "Me too" });
            return [chat.status, chat.error.message];
        }""",
        chat_id(page),
    )
    second.get_by_role("button", name="Stop").click()

    for each in (page, second, third):
        ready(each)
    assert refused[0] == "error"
    assert refused[1].startswith("A reply is being written in this conversation.")
    assert last(page) == last(second) == last(third) != ""


def test_a_chat_shows_on_all_wires_and_on_parleys_own_page(
    page: Page, context: BrowserContext, parley: ParleyProcess
) -> None:
    ask(page, "Which tide?")
    ready(page)
    visitor = visitor_of(context, parley)
    (conversation,) = visitor.data("GET", "/conversations")["items"]

    own = context.new_page()
    own.goto(parley.url)
    own.get_by_test_id("conversation").filter(has_text="Which tide?").click()
    own.get_by_test_id("composer").fill("Asked there")
    own.keyboard.press("Enter")
    expect(own.get_by_test_id("message-content").last).to_have_text("Echo: Asked there")
    visitor.answer(conversation["id"], "Asked natively")
    page.reload()
    ready(page)

    whole = [
        "Which tide?",
        "Echo: Which tide?",
        "Asked there",
        "Echo: Asked there",
        "Asked natively",
        "Echo: Asked natively",
    ]
    assert conversation["external_id"] == chat_id(page)
    assert shown(page) == whole
    assert [message["content"] for message in visitor.messages(conversation["id"])] == whole
    page.goto(f"{parley.url}/useChat/index.html#{conversation['id']}")
    page.reload()
    ready(page)
    assert shown(page) == whole


_READ = """async ({ id, text }) => {
    const transport = new window.sdk.DefaultChatTransport({ api: "/api/chat" });
    const messages = [{ id: crypto.randomUUID(), role: "user", parts: [{ type: "text", text }] }];
    const stream = await transport.sendMessages({ chatId: id, messages, trigger: "submit-message" });
    const parts = [];
    for (const reader = stream.getReader(); ; ) {
        const { done, value } = await reader.read();
        if (done) return parts;
        parts.push(value.type);
    }
}"""
"""Every part goes through the SDK's own parser, which throws at what it does not know."""

_VALIDATE = """async (id) => {
    const { messages } = await (await fetch(`/api/chat/${id}`)).json();
    const result = await window.sdk.safeValidateUIMessages({ messages });
    return result.success || String(result.error);
}"""


def test_the_sdk_takes_every_part_and_every_message(page: Page) -> None:
    endings = {"Hello": "finish", "!cut after=2": "error", "!status code=500 times=99": "finish", "!cite": "finish"}
    chat = chat_id(page)

    for question, ending in endings.items():
        assert page.evaluate(_READ, {"id": chat, "text": question})[-1] == ending, question

    assert page.evaluate(_VALIDATE, chat) is True


def test_tools_and_sources_are_shown(context: BrowserContext, model: ModelServer, tmp_path: Path) -> None:
    agents = tmp_path / "agents.toml"
    agents.write_text(
        'default = "handy"\n'
        '[agents.handy]\ndescription = "Has tools."\ninstructions = "Use them."\n'
        'tools = ["current_time", "search_knowledge"]\n'
    )
    with running(tmp_path / "data", **with_model(model, PARLEY_AGENTS_FILE=agents)) as parley:
        page = tab(context, parley.url)
        page.goto(f"{parley.url}/useChat/index.html")

        ask(
            page,
            '!tool text=Wait. name=current_time arguments={"timezone":"UTC"} '
            'name=current_time arguments={"timezone":1}',
        )
        ready(page)
        ask(page, "!cite How do I stop a reply?")
        ready(page)
        before = page.locator("main").inner_text()
        page.reload()
        ready(page)

        tools = page.locator("article").nth(1).locator("[data-tool]")
        expect(tools).to_have_count(2)
        expect(tools.first).to_have_attribute("data-tool", "output-available")
        expect(tools.last).to_have_attribute("data-tool", "output-error")
        expect(page.locator("article").last.locator("[data-source]").first).to_be_visible()
        assert sorted(page.locator("main").inner_text().split()) == sorted(before.split())
        assert page.evaluate(_VALIDATE, chat_id(page)) is True


def test_a_chat_that_dropped_its_connection_resumes_it(page: Page) -> None:
    resumed: dict[str, Any] = page.evaluate(
        """async () => {
            const chat = new window.sdk.Chat({ id: crypto.randomUUID() });
            const text = () => (chat.lastMessage?.parts ?? []).map((part) => part.text ?? "").join("");
            const asking = chat.sendMessage({ text: "!stream words=100 delay=0.04" });
            while (!text().includes("word5")) await new Promise(requestAnimationFrame);
            await chat.stop(); // Of the SDK's own, it drops the connection and no more.
            await asking;
            const dropped = text();
            await chat.resumeStream();
            return { dropped, whole: text(), count: chat.messages.length, status: chat.status };
        }"""
    )

    assert len(resumed["dropped"].split()) < 100
    assert resumed["whole"].split() == _WHOLE
    assert (resumed["count"], resumed["status"]) == (2, "ready")


def test_a_page_of_another_origin_chats_with_a_token(
    context: BrowserContext, model: ModelServer, tmp_path: Path
) -> None:
    with elsewhere() as origin, running(tmp_path, **with_model(model, PARLEY_ALLOWED_ORIGINS=origin)) as parley:
        user = parley.user("anna")
        page = context.new_page()
        page.goto(f"{origin}/index.html#plain|c1|{user.token}|{parley.url}/api/chat")

        ready(page)
        ask(page, "From afar")
        expect(page.locator("article").last).to_have_text("Echo: From afar")

        assert user.data("GET", "/conversations")["items"][0]["external_id"] == "c1"


def test_the_documentation_shows_the_page_that_is_tested() -> None:
    documentation = (Path(__file__).parents[2] / "docs/ai-sdk.md").read_text()

    assert (_FILES / "App.jsx").read_text() in documentation
