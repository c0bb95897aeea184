"""New labelled rows, as a new version of the table."""
