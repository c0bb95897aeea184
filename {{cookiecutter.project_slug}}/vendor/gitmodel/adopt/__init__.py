"""A table that the project makes its own."""
