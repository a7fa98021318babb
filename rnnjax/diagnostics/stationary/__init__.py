"""Fixed and slow points of a step function: states that a step leaves where they are, or nearly so."""
