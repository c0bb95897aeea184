"""The table from where it lives: a database, or files of a file system elsewhere."""
