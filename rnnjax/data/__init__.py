"""Data sets as padded arrays (synthetic, from TensorFlow Datasets, from files) and batches of similar length."""
