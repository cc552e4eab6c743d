"""Rooms: open, change, delete, restore; the queries are the reader's own."""
