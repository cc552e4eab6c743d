"""Retention: what is deleted when, what is purged, how every store follows, and the proof of it."""
