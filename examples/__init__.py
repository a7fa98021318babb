"""Cells of your own in a few lines, on which everything of rnnjax works: see docs/how-to/own-cell.md."""
