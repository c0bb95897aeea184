"""Versions and stages, as Git tags hold them."""
