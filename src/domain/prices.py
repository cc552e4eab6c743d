"""What the models' tokens cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, those that a model reads (`input`) and those that it writes (`output`)."""

    input: float
    output: float
    currency: str = "USD"

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """An estimate in `currency`: what discounts there may be, the provider's bill knows."""
        return (self.input * input_tokens + self.output * output_tokens) / 1_000_000


Prices = Mapping[str, Price]
"""By the model's name, as it stands in a message's metadata. A model without a price costs nobody knows what."""
