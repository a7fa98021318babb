"""Sentences of the report, computed from the numbers of a run."""
