"""Exports: all that there is of something in a file, and back."""
