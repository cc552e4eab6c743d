"""Visitors: anonymous principals whose tokens Parley issues."""
