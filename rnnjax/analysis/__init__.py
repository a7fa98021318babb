"""Measurements of a model on a batch: of every recurrent layer, and of every word of a text. The results are arrays."""
