"""Training: loss and steps, the loop, devices, records on disk."""
