"""How fast the model ages."""
