"""Exports as PDF, through fpdf2."""
