"""The machinery around the model: kept up to date by `make update`, rarely edited."""
