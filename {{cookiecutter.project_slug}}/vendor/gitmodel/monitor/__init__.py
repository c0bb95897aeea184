"""A batch compared with what the bundle was made from."""
