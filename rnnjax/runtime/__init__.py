"""Signals, memory, threads and progress of the process."""
