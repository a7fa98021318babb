"""Runs of one cell with different seeds, summarised."""
