# SPDX-License-Identifier: Apache-2.0
"""Parse a page to its elements."""

from html.parser import HTMLParser

#: Elements without an end (HTML, 13.1.2).
VOID = {"br", "input", "link", "meta", "img", "hr"}


class Page(HTMLParser):
    """Elements in their order; fails where they are not nested."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        #: Pairs of tag and attributes.
        self.elements = []
        #: Texts by the tag that holds them.
        self.texts = {}
        self._open = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        # As in SVG: it is the whole element.
        assert "svg" in self._open
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)

    def all(self, tag, **attributes):
        """Attributes of the elements that have these, classes one by one."""
        return [
            found
            for name, found in self.elements
            if name == tag
            and all(value in (found.get(key) or "").split() for key, value in attributes.items())
        ]

    def of_class(self, tag, name):
        return self.all(tag, **{"class": name})
