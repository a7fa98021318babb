"""How far back an answer depends on its input: inputs are exchanged for those of another example, by distance."""
