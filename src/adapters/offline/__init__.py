"""Answers without a model: Parley's own documentation, searched by full text and quoted."""
