"""Intents: told by rules, or by a model."""
