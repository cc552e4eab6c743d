"""What the spaces of vectors are called; apart from the client, whose import takes long."""

from __future__ import annotations


def space_of(model: str, dimensions: int | None) -> str:
    """Of a model's vectors, with as many numbers as it was asked for, if it was; see Embedder.space."""
    return model if dimensions is None else f"{model}@{dimensions}"
