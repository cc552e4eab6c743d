"""Writes, and queries where no read store is configured: SQLite or PostgreSQL through SQLAlchemy."""
