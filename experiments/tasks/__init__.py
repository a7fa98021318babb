"""One file for each experiment: a frozen dataclass of its flags."""
