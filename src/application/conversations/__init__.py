"""Conversations: start, change, ask, delete, restore; the queries are the reader's own."""
