"""Writes, and queries where no read store is configured: SQLite (PostgreSQL to follow) through SQLAlchemy."""
