"""HTML read back as a browser would nest it, for tests: elements with attributes and text."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

SEPARATE = {"br", "caption", "dd", "details", "dt", "h1", "h2", "h3", "h4", "li", "p", "summary", "td", "th", "tr"}
VOID = {"meta", "input", "br", "wbr", "line", "rect", "circle", "path"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text within, white space collapsed; what a browser sets apart is one space apart."""
        return " ".join("".join(self._texts()).split())

    def all(self, *tags: str, **attributes: str) -> list["Element"]:
        """Return the elements within that have one of `tags` and every attribute given; `class_` means one of the classes."""
        return [element for element in self._elements() if (not tags or element.tag in tags) and element._has(attributes)]

    def one(self, *tags: str, **attributes: str) -> "Element":
        [element] = self.all(*tags, **attributes)
        return element

    def _has(self, attributes: dict[str, str]) -> bool:
        if "class_" in attributes and attributes["class_"] not in self.attributes.get("class", "").split():
            return False
        return all(self.attributes.get(name) == value for name, value in attributes.items() if name != "class_")

    def _texts(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            else:
                yield from child._texts()
                if child.tag in SEPARATE:
                    yield " "

    def _elements(self) -> Iterator["Element"]:
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child._elements()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> repeats an attribute: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert tag == self.open[-1].tag, f"</{tag}> at {self.getpos()} closes <{self.open[-1].tag}>"
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(page: str) -> Element:
    """Return the document. Raises AssertionError where tags are not nested or not closed."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == [reader.root], f"not closed: {[element.tag for element in reader.open]}"
    return reader.root
