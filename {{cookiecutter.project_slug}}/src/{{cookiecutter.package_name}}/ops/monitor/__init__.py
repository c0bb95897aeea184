"""Watching a model at work. Run by `model monitor BATCH`."""
