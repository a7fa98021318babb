"""The run folder: its format, and everything that writes or reads it."""
