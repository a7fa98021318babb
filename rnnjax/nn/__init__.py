"""Flax (linen) modules: recurrent layers and a sequence classifier."""
