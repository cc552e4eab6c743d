"""What counts as a citation in an answer."""

from __future__ import annotations

import pytest

from application.replies.grounding import cited


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("So it is [2], and so [1].", [1, 2]),
        ("Word[1] and word[1][2].", [1, 2]),
        ("Both say so [1, 3] [2,3].", [1, 2, 3]),
        ("Nobody was given these: [0] [4] [99] [100] [1-2].", []),
        ("See [1](https://example.org).", []),
        ("Take `list[1]` and ``rows[2]``, says [3].", [3]),
        ("Take:\n\n```python\nlist[1]\n```\n\nas it says [2].", [2]),
        ("Take:\n\n~~~\nlist[1]\n~~~\n\nas it says [2].", [2]),
        ("It ends within:\n\n```\nlist[1]\n", []),
        ("A lone ` is none [1].", [1]),
        ("", []),
    ],
)
def test_citations_are_read_as_the_page_shows_them(text: str, numbers: list[int]) -> None:
    assert cited(text, 3) == numbers
