"""Data sets of TensorFlow Datasets, without TensorFlow."""
