"""What Parley is about, in the standard library alone: entities that decide, and the events they record."""
