"""The life of the model as Git tells it: facts that the terminal, the site, its feed and its JSON share."""
