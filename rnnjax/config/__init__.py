"""The flags of a run as frozen dataclasses: how to train, which model, where to run."""
