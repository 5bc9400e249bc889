"""Several stages one after the other."""
