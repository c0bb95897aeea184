"""A page as a parser sees it, for the tests of pages."""

from html.parser import HTMLParser


class Document(HTMLParser):
    """A page: its elements in their order, and its text; each element is closed in its turn."""

    VOID = frozenset({"meta", "link", "br"})  # elements that nothing closes

    def __init__(self, html):
        """Parse."""
        super().__init__()
        self.found, self.texts, self.open = [], [], []
        self.feed(html)
        self.close()
        assert self.open == [], "not every element is closed"

    def handle_starttag(self, tag, attrs):
        """Note an element."""
        self.found.append((tag, dict(attrs)))
        self.open += [] if tag in self.VOID else [tag]

    def handle_endtag(self, tag):
        """Close the element that was opened last."""
        assert tag in self.VOID or tag == self.open.pop()

    def handle_data(self, data):
        """Note a text."""
        self.texts += [] if self.open[-1:] == ["style"] else [data]

    @property
    def text(self):
        """Return all that a person can read."""
        return "".join(self.texts)
