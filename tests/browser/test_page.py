"""The chat page in a real Chromium: what a newcomer does in the first five minutes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.model_server import ModelServer
from tests.parley_process import ParleyProcess
from tests.unit.test_citing import CITED
from tests.waiting import eventually

_LONG = "!stream words=200 delay=0.03"


@pytest.fixture
def page(browser: Browser, parley: ParleyProcess) -> Iterator[Page]:
    """A first visit. No test may leave an error on the console that it did not ask for."""
    context = browser.new_context()
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.goto(parley.url)
    expect(page.get_by_test_id("composer")).to_be_focused()
    yield page
    context.close()
    assert problems == []


def ask(page: Page, question: str) -> None:
    page.get_by_test_id("composer").fill(question)
    expect(page.get_by_test_id("send")).to_be_enabled()
    page.keyboard.press("Enter")


def answer(page: Page, status: str = "completed") -> str:
    """The text of the last answer, once it has a status."""
    last = page.locator(f'[data-testid=message][data-role=assistant][data-status="{status}"]').last
    expect(last).to_be_visible(timeout=20_000)
    return last.get_by_test_id("message-content").inner_text()


def live_text(page: Page) -> str:
    return page.locator("[data-testid=message][data-role=assistant] [data-testid=message-content]").last.inner_text()


def test_a_newcomer_asks_and_watches_the_answer_stream_as_markdown(page: Page) -> None:
    ask(page, "Say **bold** and `code`")

    assert answer(page) == "Echo: Say bold and code"
    content = page.get_by_test_id("message-content").last
    expect(content.locator("strong")).to_have_text("bold")
    expect(content.locator("code")).to_have_text("code")


def test_a_quick_hand_asks_before_the_page_is_there(browser: Browser, parley: ParleyProcess) -> None:
    context = browser.new_context()
    page = context.new_page()
    held: list[Route] = []
    page.route("**/api/v1/visitors", lambda route: held.append(route))
    page.goto(parley.url)
    page.get_by_test_id("composer").fill("Am I early?")
    page.keyboard.press("Enter")
    while not held:
        page.wait_for_timeout(10)
    expect(page.get_by_test_id("composer")).to_have_value("Am I early?")

    held[0].continue_()

    assert answer(page) == "Echo: Am I early?"
    expect(page.get_by_test_id("composer")).to_have_value("")
    context.close()


def test_an_answer_grows_while_it_is_written(page: Page) -> None:
    ask(page, _LONG)

    eventually(lambda: "word5" in live_text(page))
    assert "word199" not in live_text(page)
    page.get_by_test_id("stop").click()
    answer(page, "cancelled")


def test_one_stops_an_answer_and_keeps_what_was_said(page: Page) -> None:
    ask(page, "!silent after=3")
    eventually(lambda: "word2" in live_text(page))

    page.get_by_test_id("stop").click()

    assert answer(page, "cancelled").strip() == "word0 word1 word2"
    expect(page.get_by_test_id("send")).to_be_visible()


def test_escape_stops_the_answer_too(page: Page) -> None:
    ask(page, "!silent after=1")
    eventually(lambda: "word0" in live_text(page))

    page.keyboard.press("Escape")

    answer(page, "cancelled")


def test_reloading_in_the_middle_of_an_answer_goes_on(page: Page) -> None:
    ask(page, "!stream words=100 delay=0.03")
    eventually(lambda: "word10" in live_text(page))

    page.reload()

    whole = answer(page)
    assert [f"word{number}" for number in range(100)] == whole.split()


def test_an_answer_that_begins_anew_loses_what_was_said_before(page: Page) -> None:
    shown = page.evaluate(
        """async () => {
            const { MessageView } = await import("/static/web/message.js");
            const view = MessageView.live();
            view.started();
            view.append("Of the first.");
            await new Promise(requestAnimationFrame);
            view.started();
            view.append("Of the second.");
            await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
            return view.element.querySelector("[data-testid=message-content]").textContent.trim();
        }"""
    )

    assert shown == "Of the second."


def test_citations_become_links_as_the_server_counts_them(page: Page) -> None:
    shown = page.evaluate(
        """async (texts) => {
            const { render } = await import("/static/web/markdown.js");
            const link = (number) => {
                if (![1, 2, 3].includes(number)) return null;
                return Object.assign(document.createElement("a"), { className: "cite", textContent: number });
            };
            const cited = (text) => [...render(text, link).querySelectorAll(".cite")].map((one) => +one.textContent);
            return texts.map((text) => [...new Set(cited(text))].sort());
        }""",
        [text for text, _ in CITED],
    )

    assert dict(zip((text for text, _ in CITED), shown, strict=True)) == dict(CITED)


def test_a_deleted_room_comes_back_with_undo(page: Page) -> None:
    page.get_by_test_id("new-room").click()
    page.get_by_test_id("room-name").fill("Harbour")
    page.keyboard.press("Enter")
    room = page.get_by_test_id("room").filter(has_text="Harbour")
    expect(room).to_be_visible()
    room.hover()
    room.get_by_test_id("room-new-conversation").click()
    ask(page, "Which tide?")
    answer(page)

    room.hover()
    room.get_by_test_id("delete-room").click()
    expect(room).to_have_count(0)
    page.get_by_test_id("undo").click()

    expect(room).to_be_visible()
    page.get_by_test_id("conversation").filter(has_text="Which tide?").click()
    assert answer(page) == "Echo: Which tide?"


def test_a_deleted_conversation_comes_back_with_undo(page: Page) -> None:
    ask(page, "Keep me")
    answer(page)
    row = page.get_by_test_id("conversation").filter(has_text="Keep me")

    row.hover()
    row.get_by_test_id("delete-conversation").click()
    expect(row).to_have_count(0)
    page.get_by_test_id("undo").click()

    expect(row).to_be_visible()


def test_regenerating_writes_the_answer_anew(page: Page, model: ModelServer) -> None:
    question = f"Again please {id(page)}"
    ask(page, question)
    answer(page)

    page.get_by_test_id("regenerate").click()

    eventually(lambda: len(model.asked(question)) == 2)
    assert answer(page) == f"Echo: {question}"
    expect(page.locator("[data-testid=message][data-role=assistant]")).to_have_count(1)


def contents(page: Page) -> list[str]:
    return [text.strip() for text in page.get_by_test_id("message-content").all_inner_texts()]


def edit(page: Page, position: int, text: str) -> None:
    """Edit the question at a position and send it."""
    question = page.locator(f'[data-testid=message][data-position="{position}"]')
    question.hover()
    question.get_by_test_id("edit").click()
    question.get_by_test_id("edit-field").fill(text)
    page.keyboard.press("Enter")


def test_a_question_is_edited_in_place_and_answered_anew(page: Page) -> None:
    for question in ("One", "Two"):
        ask(page, question)
        expect(page.get_by_test_id("message-content").last).to_have_text(f"Echo: {question}")

    edit(page, 1, "Uno")

    expect(page.get_by_test_id("message-content").last).to_have_text("Echo: Uno")
    assert contents(page) == ["Uno", "Echo: Uno"]
    expect(page.get_by_test_id("composer")).to_be_focused()


def test_one_goes_back_and_forth_between_versions_also_after_a_reload(page: Page) -> None:
    for question in ("One", "Two"):
        ask(page, question)
        expect(page.get_by_test_id("message-content").last).to_have_text(f"Echo: {question}")
    edit(page, 1, "Uno")
    expect(page.get_by_test_id("version")).to_have_text("2/2")

    page.get_by_test_id("previous-version").click()
    expect(page.get_by_test_id("message-content").last).to_have_text("Echo: Two")
    assert contents(page) == ["One", "Echo: One", "Two", "Echo: Two"]
    page.reload()
    expect(page.get_by_test_id("version")).to_have_text("1/2")
    expect(page.get_by_test_id("previous-version")).to_be_disabled()
    page.get_by_test_id("next-version").focus()
    page.keyboard.press("Enter")

    expect(page.get_by_test_id("message-content").last).to_have_text("Echo: Uno")
    assert contents(page) == ["Uno", "Echo: Uno"]
    expect(page.get_by_test_id("previous-version")).to_be_focused()


def test_an_older_answer_is_looked_at_again_and_asked_on_from(page: Page, model: ModelServer) -> None:
    ask(page, f"!status code=429 times=99 {id(page)}")
    answer(page)
    page.get_by_test_id("regenerate").click()
    expect(page.get_by_test_id("version")).to_have_text("2/2")

    page.get_by_test_id("previous-version").click()

    expect(page.get_by_test_id("version")).to_have_text("1/2")
    ask(page, "And now?")
    expect(page.get_by_test_id("message-content").last).to_have_text("Echo: And now?")
    assert len(contents(page)) == 4


def test_an_edit_is_given_up_with_escape(page: Page) -> None:
    ask(page, "One")
    answer(page)
    question = page.get_by_test_id("message").first
    question.hover()
    question.get_by_test_id("edit").click()
    question.get_by_test_id("edit-field").fill("Two")

    page.keyboard.press("Escape")

    expect(question.get_by_test_id("edit")).to_be_focused()
    assert contents(page) == ["One", "Echo: One"]


def test_an_edit_that_is_refused_keeps_its_text(page: Page) -> None:
    ask(page, "One")
    answer(page)

    edit(page, 1, "x" * 5001)

    expect(page.get_by_test_id("toast")).to_contain_text("1 too many")
    expect(page.get_by_test_id("edit-field")).to_have_value("x" * 5001)


def test_a_rating_survives_a_reload_and_is_taken_back(page: Page) -> None:
    ask(page, "One")
    answer(page)
    up, down = page.get_by_test_id("thumb-up"), page.get_by_test_id("thumb-down")

    down.click()
    expect(down).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(down).to_have_attribute("aria-pressed", "true")
    up.click()
    expect(up).to_have_attribute("aria-pressed", "true")
    expect(down).to_have_attribute("aria-pressed", "false")
    up.focus()
    page.keyboard.press("Space")
    expect(up).to_have_attribute("aria-pressed", "false")
    expect(up).to_be_focused()
    page.reload()

    expect(page.get_by_test_id("thumb-up")).to_have_attribute("aria-pressed", "false")


def test_on_a_phone_questions_are_edited_and_versions_changed_too(browser: Browser, parley: ParleyProcess) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(parley.url)
    ask(page, "One")
    answer(page)

    page.get_by_test_id("edit").tap()
    page.get_by_test_id("edit-field").fill("Uno " * 40)
    page.get_by_test_id("edit-send").tap()
    expect(page.get_by_test_id("version")).to_have_text("2/2")

    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_test_id("previous-version").tap()
    expect(page.get_by_test_id("message-content").last).to_have_text("Echo: One")
    context.close()


def test_search_opens_the_conversation_of_a_message(page: Page) -> None:
    ask(page, "Where do pelicans sleep?")
    answer(page)
    page.get_by_test_id("new-conversation").click()

    page.keyboard.press("Control+k")
    page.keyboard.type("pelicans")
    page.get_by_test_id("search-result").first.click()

    assert "pelicans" in answer(page)


def test_escape_leads_from_the_search_back_to_the_message_box(page: Page) -> None:
    page.keyboard.press("Control+k")
    page.keyboard.type("anything")
    page.keyboard.press("Escape")

    expect(page.get_by_test_id("composer")).to_be_focused()


def test_markup_in_an_answer_is_shown_not_run(page: Page) -> None:
    ask(page, 'Hi <img src=x onerror="document.title=1"> <script>document.title=2</script> [x](javascript:alert(1))')
    answer(page)

    content = page.get_by_test_id("message-content").last
    assert page.title() not in {"1", "2"}
    expect(content.locator("script, [onerror]")).to_have_count(0)
    expect(content.locator("a[href^=javascript]")).to_have_count(0)


def test_an_answer_offline_quotes_parleys_documentation_with_its_sources(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from tests.parley_process import running

    with running(tmp_path_factory.mktemp("offline")) as parley:
        page = browser.new_page()
        page.goto(parley.url)
        ask(page, "How do I stop a reply?")

        text = answer(page)

        assert "No language model is configured" in text
        expect(page.get_by_test_id("sources")).to_contain_text("Stop a reply")
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_in_light_and_dark(browser: Browser, parley: ParleyProcess, scheme: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 640}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(parley.url)
    ask(page, "Hello " + "from a phone " * 30)
    answer(page)

    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    brightness = sum(int(part) for part in re.findall(r"\d+", background)[:3]) / 3
    assert brightness > 200 if scheme == "light" else 0 < brightness < 60
    page.get_by_test_id("sidebar-toggle").first.click()
    expect(page.get_by_test_id("new-room")).to_be_visible()
    page.close()


def test_the_theme_that_was_chosen_stays(page: Page) -> None:
    before = page.evaluate("document.documentElement.dataset.theme || ''")

    page.get_by_test_id("theme-toggle").click()
    chosen = page.evaluate("document.documentElement.dataset.theme")
    page.reload()

    assert chosen != before
    assert page.evaluate("document.documentElement.dataset.theme") == chosen
