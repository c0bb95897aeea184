"""The registry: versions of the model, and which of them serves where, as Git tags in GTO's format.

`NAME@v1.2.0` registers a version, `NAME@v1.2.0!` retires it, `NAME#prod#3` assigns one to a stage. Nothing is ever
rewritten: `tags` reads them, `write` makes a new one, `remote` shares it; each command is a module beside them.
"""
