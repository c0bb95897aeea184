"""Predictions for tables of any size."""
