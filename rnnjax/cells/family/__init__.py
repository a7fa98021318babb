"""Further cells of the literature, one file each."""
