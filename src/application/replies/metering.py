"""What a reply cost: tokens as the model's server told them or as estimated, and money where the prices are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from application.ports.language import Prompt, Turn
from application.ports.persistence import Document
from application.replies.prompting import tokens_in
from domain.prices import Prices


class Meter:
    """Adds up what all streams of one reply used, those that came to nothing included."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._usage = {"input_tokens": 0, "output_tokens": 0}
        self._is_estimated = False
        self._cost: dict[str, float] = {}

    def add(self, told: Mapping[str, object], prompt: Prompt, turns: Sequence[Turn], said: str) -> None:
        """Count one stream, which told this of itself when it was asked with `turns` and has `said` something.

        A stream that tells nothing of its tokens is estimated, unless it was refused before it had said a word.
        """
        if told.get("offline"):
            return
        used = told.get("usage")
        if not isinstance(used, dict) or not used:
            if not said:
                return
            used = _estimated(prompt, turns, said)
            self._is_estimated = True
        for name in self._usage:
            self._usage[name] += used.get(name, 0)
        price = self._prices.get(str(told.get("model")))
        if price is not None:
            amount = price.cost(used.get("input_tokens", 0), used.get("output_tokens", 0))
            self._cost[price.currency] = self._cost.get(price.currency, 0.0) + amount

    @property
    def metadata(self) -> Document:
        """`usage` {input_tokens, output_tokens, estimated}, and `cost` {amount, currency} where that is known."""
        usage: Document = dict(self._usage)
        if self._is_estimated:
            usage["estimated"] = True
        if len(self._cost) != 1:  # Nobody adds up different currencies.
            return {"usage": usage}
        ((currency, amount),) = self._cost.items()
        return {"usage": usage, "cost": {"amount": round(amount, 8), "currency": currency}}


def _estimated(prompt: Prompt, turns: Sequence[Turn], said: str) -> dict[str, int]:
    read = [prompt.agent.instructions, *(passage.text for passage in prompt.passages)]
    read += [turn.content for turn in turns]
    return {"input_tokens": sum(map(tokens_in, read)), "output_tokens": tokens_in(said)}
