"""Flags of a run as frozen dataclasses: training, model, devices and processes."""
