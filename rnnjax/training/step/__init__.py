"""One step of training and evaluation, as pure functions."""
