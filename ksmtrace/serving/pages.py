"""What a scrape is answered with: finished texts, one for each format, as the tracer made them."""

from __future__ import annotations

import gzip
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

_TEXT, _OPENMETRICS = "text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0"
_EOF = b"# EOF\n"


@dataclass(frozen=True, slots=True)
class Page:
    """A text and its media type."""

    type: str
    body: bytes


@dataclass(frozen=True)
class Pages:
    """What was published last, in the text format of Prometheus and as OpenMetrics 1.0."""

    text: bytes
    openmetrics: bytes
    _zipped: dict[str, bytes] = field(default_factory=dict, compare=False, repr=False)

    def to_message(self) -> bytes:
        """The pages as `from_message` takes them."""
        return b"%d\n%b%b" % (len(self.text), self.text, self.openmetrics)

    @classmethod
    def from_message(cls, message: bytes) -> Pages:
        """The inverse of `to_message`."""
        length, _, both = message.partition(b"\n")
        return cls(both[: int(length)], both[int(length) :])

    def page(self, accept: str) -> Page:
        """The page for a client that sends this Accept header: OpenMetrics for who names it."""
        if _wants(accept, "application/openmetrics-text"):
            return Page(f"{_OPENMETRICS}; charset=utf-8", self.openmetrics)
        return Page(f"{_TEXT}; charset=utf-8", self.text)

    def zipped(self, page: Page) -> bytes:
        """A whole page of these compressed by gzip, once for all who ask."""
        if page.type not in self._zipped:
            self._zipped[page.type] = gzip.compress(page.body, compresslevel=1, mtime=0)
        return self._zipped[page.type]


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a client that sends this Accept-Encoding header takes gzip."""
    return _wants(accept_encoding, "gzip")


def only(body: bytes, names: Collection[str]) -> bytes:
    """What of a page has samples of these names, with their HELP and TYPE lines; b"" for none."""
    wanted = {name.encode() for name in names}
    kept = b"".join(
        comments + b"".join(samples)
        for comments, lines in _families(body)
        if (samples := [line for line in lines if _name(line) in wanted])
    )
    return kept + _EOF if kept and body.endswith(_EOF) else kept


def _families(body: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
    """The comments and the samples of each family."""
    comments: list[bytes] = []
    samples: list[bytes] = []
    for line in body.splitlines(keepends=True):
        if line.startswith(b"#") and samples:
            yield b"".join(comments), samples
            comments, samples = [], []
        (comments if line.startswith(b"#") else samples).append(line)
    yield b"".join(comments), samples


def _name(sample: bytes) -> bytes:
    return sample.partition(b"{")[0].partition(b" ")[0]


def _wants(header: str, word: str) -> bool:
    for choice in header.split(","):
        name, *parameters = (part.strip().lower() for part in choice.split(";"))
        if name == word:
            return not any(p.startswith("q=") and p[2:].strip("0.") == "" for p in parameters)
    return False
