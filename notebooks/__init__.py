"""Notebooks, and what they need of the runtime that they are opened in."""
