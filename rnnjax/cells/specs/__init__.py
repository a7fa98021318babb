"""Cells as flags write them: their options by type, and classes in files of the user's own."""
