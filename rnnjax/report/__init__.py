"""Arrays of measurements in, figures, tables and one self-contained HTML page out."""
