"""Data sets from your own files: texts with labels, time series, and text for a language model."""
