"""What counts as a citation in an answer, and what an earlier answer is without its own."""

from __future__ import annotations

import pytest

from application.replies.citing import cited, place_of, without_citations

CITED: list[tuple[str, list[int]]] = [
    ("So it is [2], and so [1].", [1, 2]),
    ("Word[1] and word[1][2].", [1, 2]),
    ("Both say so [1, 3] [2,3].", [1, 2, 3]),
    ("All of them [1-3].", [1, 2, 3]),
    ("All of them [1–2, 3].", [1, 2, 3]),
    ("Two of them [1; 3].", [1, 3]),
    ("With room [ 2 ].", [2]),
    ("As a footnote [^2].", [2]),
    ("In words [Source 1] [sources 2 and 3] [passage 3].", [1, 3]),
    ("In wide brackets【1】【2†source】.", [1, 2]),
    ("Nobody was given these: [0] [4] [99] [100] [1-9] [2-1].", []),
    ("Years are none [2024], nor is [a1] or [1.2].", []),
    ("See [1](https://example.org).", []),
    ("As [1] says, and [2].\n\n[1]: https://example.org\n", [2]),
    ("Sources:\n\n[1]: The handbook says so.", [1]),
    ("Take `list[1]` and ``rows[2]``, says [3].", [3]),
    ("Take:\n\n```python\nlist[1]\n```\n\nas it says [2].", [2]),
    ("Take:\n\n~~~\nlist[1]\n~~~\n\nas it says [2].", [2]),
    ("It ends within:\n\n```\nlist[1]\n", []),
    ("A lone ` is none [1].", [1]),
    ("", []),
]
"""Answers that were given three passages, and which of these they cite; the page is held to the same."""


@pytest.mark.parametrize(("text", "numbers"), CITED)
def test_citations_are_read_as_the_page_shows_them(text: str, numbers: list[int]) -> None:
    assert cited(text, 3) == numbers


@pytest.mark.parametrize(
    ("text", "number", "place"), [("See [2] and [1-2].", 1, 12), ("`a[1]` 【1】", 1, 7), ("None [1].", 2, None)]
)
def test_a_citation_has_its_place_in_the_text(text: str, number: int, place: int | None) -> None:
    assert place_of(text, number) == place


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("So it is [2], and so [1, 3].", "So it is, and so."),
        ("- One [1]\n- Two【2】\n", "- One\n- Two\n"),
        ("[1] says so.\n\n[2] too.", " says so.\n\n too."),
        ("Take `list[1]`, see [1](https://example.org).", "Take `list[1]`, see [1](https://example.org)."),
        ("It cites nothing.", "It cites nothing."),
    ],
)
def test_a_text_without_its_citations_says_the_same(text: str, rest: str) -> None:
    assert without_citations(text) == rest
