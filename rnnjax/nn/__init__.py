"""Flax (linen) modules."""
