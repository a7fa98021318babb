"""Interactive figures, drawn with Bokeh."""
