"""Notebooks, and the helper functions that they import."""
