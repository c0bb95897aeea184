"""The life of the model as a site for people around it: static pages, a feed, JSON; made of Git alone."""
