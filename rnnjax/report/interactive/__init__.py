"""Interactive figures for the page, drawn with bokeh."""
