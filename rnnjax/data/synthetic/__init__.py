"""Synthetic tasks, in which it is known over how many steps an input must be remembered."""
