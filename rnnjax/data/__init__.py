"""Data: text through TensorFlow Datasets, synthetic tasks, length-bucketed batches."""
