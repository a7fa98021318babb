"""Data sets from the user's own files."""
