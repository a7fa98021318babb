"""Experiments: one file each, a frozen dataclass of flags and run()."""
