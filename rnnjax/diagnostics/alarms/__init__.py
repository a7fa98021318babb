"""Rules that detect faults of a recurrent layer or of its training, each with a remedy."""
