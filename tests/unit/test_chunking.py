"""Documents fall into pieces that hold together and lose nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from adapters.parsing import markdown, plain
from adapters.parsing.blocks import Block, Outline
from adapters.parsing.chunking import LONGEST, TARGET, chunk
from application.ports.parsing import WITHIN, ParsedDocument, Piece

Kind = Literal["paragraph", "item", "line", "code", "table"]


def chunked(outline: Outline) -> ParsedDocument:
    return chunk(outline, media_type="text/plain", max_characters=10**7, max_pieces=10**6)


def pieces(text: str) -> list[tuple[str, str]]:
    return [(piece.heading, piece.text) for piece in chunked(markdown.outline(text)).pieces]


def paragraph(words: int) -> str:
    return " ".join(f"Word{number} stands here." for number in range(words))


def test_small_paragraphs_under_one_heading_are_one_piece() -> None:
    text = "# Title\n\n## One\n\nFirst.\n\n- a\n- b\n\nSecond.\n\n## Two\n\nThird.\n"

    assert pieces(text) == [("One", "First.\n\n- a\n- b\n\nSecond."), ("Two", "Third.")]


def test_the_path_of_a_heading_names_those_above_it_without_the_title() -> None:
    text = (
        "Before.\n\n# Title\n\nIntro.\n\n## A `code` *here*\n\n### B\n\nDeep.\n\n#### C ##\n\nDeeper.\n\n"
        "## D\n\nShallow.\n\nSetext\n------\n\nLast.\n\n# Another part\n\nMore.\n"
    )

    assert pieces(text) == [
        ("", "Before."),
        ("", "Intro."),
        ("A `code` *here* › B", "Deep."),
        ("A `code` *here* › B › C", "Deeper."),
        ("D", "Shallow."),
        ("Setext", "Last."),
        ("Another part", "More."),
    ]


def test_a_heading_with_nothing_under_it_is_still_found() -> None:
    assert pieces("# T\n\n## A\n\n## B\n\n### C\n\ntext\n\n## D\n") == [("A", "A"), ("B › C", "text"), ("D", "D")]


def test_a_title_alone_is_a_piece() -> None:
    assert pieces("# Title") == [("", "Title")]


def test_what_looks_like_a_heading_inside_code_is_none() -> None:
    assert pieces("```sh\n# no heading\n```\n") == [("", "```sh\n# no heading\n```")]


def test_front_matter_gives_the_title_and_is_no_text() -> None:
    parsed = chunked(markdown.outline('---\ntitle: "The title"\ntags:\n  - a\n---\n\n# First\n\nText.\n'))

    assert (parsed.title, [(piece.heading, piece.text) for piece in parsed.pieces]) == (
        "The title",
        [("First", "Text.")],
    )


def test_a_rule_at_the_top_is_no_front_matter() -> None:
    assert pieces("---\n\nText that matters.\n\n---\n\nMore.\n") == [("", "Text that matters.\n\nMore.")]


def test_the_targets_of_links_are_kept() -> None:
    assert "[docs]: https://example.org" in pieces("See [the docs][docs].\n\n[docs]: https://example.org\n")[0][1]


def test_code_is_whole_up_to_the_longest_piece() -> None:
    code = "```python\n" + "\n\n".join(f"line_{number} = {number}" for number in range(70)) + "\n```"
    assert TARGET < len(code) < LONGEST

    assert code in [text for _, text in pieces(f"{paragraph(20)}\n\n{code}\n\n{paragraph(20)}\n")]


def test_longer_code_is_cut_between_lines_and_fenced_again() -> None:
    lines = [f"    line_{number} = {number}" for number in range(400)]
    found = [text for _, text in pieces("```python\n" + "\n".join(lines) + "\n```\n")]

    assert len(found) > 1
    assert all(text.startswith("```python\n") and text.endswith("\n```") for text in found)
    assert lines == [line for text in found for line in text.split("\n")[1:-1]]


def test_every_part_of_a_long_table_has_its_header() -> None:
    rows = [f"| {number} | what stands in row {number} |" for number in range(200)]
    found = [text for _, text in pieces("| n | text |\n|---|---|\n" + "\n".join(rows) + "\n")]

    assert len(found) > 1
    assert all(text.startswith("| n | text |\n|---|---|\n") for text in found)
    assert rows == [line for text in found for line in text.split("\n")[2:]]


def test_a_sample_stays_with_the_words_that_introduce_it() -> None:
    code = "```\n" + "x = 1\n" * 100 + "```"
    found = pieces(f"{paragraph(25)}\n\nRun this:\n\n{code}\n")

    assert any("Run this:\n\n```" in text for _, text in found)


def test_a_long_paragraph_is_cut_between_sentences_and_goes_on_with_the_last_one() -> None:
    found = [text for _, text in pieces(paragraph(200))]

    assert len(found) > 3
    assert all(text.endswith("here.") and text.startswith("Word") for text in found)
    for above, below in pairwise(found):
        goes_on_with = below[: below.index("here.") + len("here.")]
        assert goes_on_with in above[-160:]


def test_sentences_end_without_spaces_in_chinese_and_japanese() -> None:
    found = [text for _, text in pieces("".join(f"これは{number}番目の文です。" for number in range(300)))]

    assert len(found) > 3
    assert all(text.endswith("。") and text.startswith("これは") for text in found)


def test_text_without_any_end_is_cut_between_what_readers_see_as_characters() -> None:
    text = "ที่นี่" * 400 + "👩‍👩‍👧" * 400
    found = [text for _, text in pieces(text)]

    assert all(len(piece) <= LONGEST for piece in found)
    assert covers(text, found)
    assert not any(re.match("[ิีั่้\u200d]", piece) for piece in found)


def test_a_little_that_is_left_joins_the_piece_before() -> None:
    text = f"{paragraph(50)}\n\nThe end.\n"
    assert len(text) > TARGET

    assert len(pieces(text)) == 1


def test_a_piece_has_one_page() -> None:
    blocks = [Block("heading", "H", level=1, page=1)]
    blocks += [Block("paragraph", f"text {page}", page=page) for page in (1, 1, 2)]

    assert [Piece(heading="H", text="text 1\n\ntext 1", page=1), Piece(heading="H", text="text 2", page=2)] == list(
        chunked(Outline(None, blocks)).pieces
    )


def test_nothing_that_a_database_refuses_is_left() -> None:
    blocks = [Block("heading", "a\x00b", level=2), Block("paragraph", "c\x00\ud800d\r\ne\x0bf\ufeff")]
    parsed = chunked(Outline("t\x00\udfff", blocks))

    assert (parsed.title, parsed.pieces[0].heading, parsed.pieces[0].text) == ("t", "ab", "cd\ne\nf")


def covers(text: str, found: Sequence[str]) -> bool:
    """Whether the pieces are the text, each beginning where the last one ended or before."""
    text = re.sub(r"\s", "", text)
    begin = end = 0
    for piece in found:
        piece = re.sub(r"\s", "", piece)
        begin = next((place for place in range(end, begin - 1, -1) if text.startswith(piece, place)), -1)
        if begin < 0:
            return False
        end = begin + len(piece)
    return end == len(text)


@given(st.data())
def test_no_word_is_lost_and_no_piece_is_too_long_or_crosses_a_heading(data: st.DataObject) -> None:
    blocks: list[Block] = []
    sections: dict[str, list[str]] = {}
    for number in range(data.draw(st.integers(1, 4))):
        blocks.append(Block("heading", f"Heading {number}", level=data.draw(st.integers(1, 3))))
        words = sections[f"Heading {number}"] = []
        for block in range(data.draw(st.integers(1, 6))):
            kind: Kind = data.draw(st.sampled_from(("paragraph", "item", "line", "code", "table")))
            count = data.draw(st.integers(1, 600))
            own = [f"w{number}x{block}x{word}" for word in range(count)]
            ends = (" ", ". ", "\n", ", ", "\n\n")
            between = data.draw(st.sampled_from(ends if kind in ("code", "table") else (*ends, "。", "、")))
            text = between.join(own)
            if kind == "code" and data.draw(st.booleans()):
                text = f"```\n{text}\n```"
            blocks.append(Block(kind, text))
            words += own

    found = chunked(Outline(None, blocks)).pieces

    for heading, words in sections.items():
        held = [
            re.findall(r"w\d+x\d+x\d+", piece.text) for piece in found if piece.heading.split(WITHIN)[-1] == heading
        ]
        assert words == list(dict.fromkeys(word for piece in held for word in piece))
    assert all(0 < len(piece.text) <= LONGEST for piece in found)


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp", "Cf"]), min_size=1, max_size=6000)
)
def test_one_long_line_is_covered_by_its_pieces(line: str) -> None:
    parsed = chunked(plain.outline(line))
    (block,) = plain.outline(line).blocks

    assert covers(block.text, [piece.text for piece in parsed.pieces])
    assert all(len(piece.text) <= LONGEST for piece in parsed.pieces)


@given(
    st.lists(
        st.sampled_from(["# ", "- ", "1. ", "> ", "```\n", "|", "\n", "\n\n", "  ", "word", "---\n", "[a]: b", "\t"])
    )
)
def test_any_markdown_is_read_and_keeps_its_words(parts: list[str]) -> None:
    text = "word" + "".join(parts)

    parsed = chunked(markdown.outline(text))

    said = [parsed.title or "", *(f"{piece.heading} {piece.text}" for piece in parsed.pieces)]
    assert text.count("word") <= sum(part.count("word") for part in said)
