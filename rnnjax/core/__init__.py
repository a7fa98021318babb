"""The recurrence: a cell unrolled along time, its backward pass, and taps for the gradient at every step."""
