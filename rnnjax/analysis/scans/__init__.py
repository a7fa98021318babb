"""Measurements of the scans of any program."""
