"""A model and a batch in, arrays out: what is measured of every recurrent layer, and of every word."""
