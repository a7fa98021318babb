"""Synthetic tasks in which the distance to be remembered is known."""
