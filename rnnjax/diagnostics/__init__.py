"""Pure functions of arrays that say what a gradient does on its way through time."""
