"""Rules that say what is wrong with a layer or a training, and what to do about it."""
