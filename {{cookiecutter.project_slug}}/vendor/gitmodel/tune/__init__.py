"""`model tune`: parameters sought on training rows alone."""
