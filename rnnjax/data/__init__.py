"""Data sets as padded arrays (synthetic, from TensorFlow Datasets, from files) and batches bucketed by length."""
