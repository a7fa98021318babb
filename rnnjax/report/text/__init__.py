"""The sentences of a report, computed from the numbers."""
