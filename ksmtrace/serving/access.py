"""Answers to requests: who may scrape, what is served at which path."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from ksmtrace.serving.pages import Pages, accepts_gzip, only
from ksmtrace.serving.passwords import Passwords
from ksmtrace.serving.web_config import WebConfig

HEALTHY = "/-/healthy"
METRICS = "/metrics"

_MOST_FIELDS = 1000

_LANDING = f"""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>ksmtrace</title>
<h1>ksmtrace</h1>
<p>Profiler for Kernel Samepage Merging (KSM).
<ul>
<li><a href="{METRICS}">Metrics</a>, for Prometheus
<li><a href="{HEALTHY}">Whether it runs</a>
</ul>
</html>
""".encode()


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it was received.

    Attributes:
        method: GET and the like.
        target: a path with its query, or a whole URL (RFC 9112, absolute-form).
        headers: by name in lower case.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body and headers besides its length."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Access:
    """Answers by one configuration.

    Args:
        config: users and headers.
        trouble: why the configuration is no good any more; "" while it is.

    Attributes:
        pages: what was published last; None before that.
    """

    def __init__(self, config: WebConfig, trouble: str) -> None:
        self._config = config
        self._trouble = trouble
        self._passwords = Passwords(config.users)
        self.pages: Pages | None = None

    async def answer(self, owner: str, request: Request) -> Answer:
        """The answer to a request of `owner`, as `connections.owner_of` has it."""
        if self._trouble:
            return _told(500, self._trouble)
        if self._config.users:
            given = request.headers.get("authorization", "").encode("latin-1", "replace")
            knows = await self._knows(owner, given)
            if knows is None:
                wait = {"Retry-After": "1"}
                return _told(429, "too many passwords of this address are being checked", wait)
            if not knows:
                return _told(401, "Unauthorized", {"WWW-Authenticate": "Basic"})
        found = self._found(request)
        return Answer(found.status, found.body, {**found.headers, **self._config.headers})

    async def _knows(self, owner: str, given: bytes) -> bool | None:
        scheme, _, encoded = given.partition(b" ")
        try:
            user, colon, password = b64decode(encoded, validate=True).partition(b":")
        except Base64Error:
            return False
        if scheme.lower() != b"basic" or not colon:
            return False
        return await self._passwords.right(owner, user, password)

    def _found(self, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return _told(405, "only GET and HEAD are answered", {"Allow": "GET, HEAD"})
        try:
            target = urlsplit(request.target)
            asked = parse_qs(target.query, max_num_fields=_MOST_FIELDS)
        except ValueError:
            return _told(400, "the target of the request is no URL")
        if target.path == "/":
            return Answer(200, _LANDING, {"Content-Type": "text/html; charset=utf-8"})
        if target.path == HEALTHY:
            return _told(200, "ksmtrace is running")
        if target.path != METRICS:
            return _told(404, f"metrics are at {METRICS}")
        if self.pages is None:
            wait = {"Retry-After": "1"}
            return _told(503, "no figures yet: they are published once an --interval", wait)
        return _scraped(self.pages, request, asked.get("name[]", []))


def _scraped(pages: Pages, request: Request, names: list[str]) -> Answer:
    page = pages.page(request.headers.get("accept", ""))
    headers = {"Content-Type": page.type, "Vary": "Accept, Accept-Encoding"}
    if names:
        body = only(page.body, names)
        if not body:
            shown = ", ".join(sorted(names)[:10])
            return _told(404, f"no sample has one of these names now: {shown}")
        return Answer(200, body, headers)
    if accepts_gzip(request.headers.get("accept-encoding", "")):
        return Answer(200, pages.zipped(page), {**headers, "Content-Encoding": "gzip"})
    return Answer(200, page.body, headers)


def _told(status: int, text: str, headers: Mapping[str, str] | None = None) -> Answer:
    plain = "".join(c if c.isprintable() else "?" for c in text)
    kind = {"Content-Type": "text/plain; charset=utf-8"}
    return Answer(status, f"{plain}\n".encode(errors="replace"), {**kind, **(headers or {})})
