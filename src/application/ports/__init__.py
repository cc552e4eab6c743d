"""What the application needs of the world, as protocols; each is implemented in `adapters` and faked in `tests/fakes`."""
