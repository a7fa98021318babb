"""The experiments, one file each: a frozen dataclass whose fields are flags."""
