"""Experiments that ``launch.py`` runs: their flags, studies over cells and sweeps, and running them."""
