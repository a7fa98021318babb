"""Summaries of the records of a run over the seeds of each cell."""
