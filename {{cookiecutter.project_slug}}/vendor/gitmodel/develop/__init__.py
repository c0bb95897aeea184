"""Work in the project: run the pipeline, test, lint, install, lock, update, build the image."""
