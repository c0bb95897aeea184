"""What ships: the exported model, its contract, what it was like when it was made."""
