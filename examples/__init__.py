"""Custom cells in a few lines, which work with all of rnnjax: see docs/how-to/own-cell.md."""
