"""Pages for people: static HTML with its style, small pictures, texts that mean nothing but themselves."""
