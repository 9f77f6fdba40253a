"""Requests over HTTP: any bytes, of somebody who then hangs up."""

import asyncio

import h11

from ksmtrace.serving.access import Access, Answer
from ksmtrace.serving.pages import Pages
from ksmtrace.serving.server import _MOST_HEADER_BYTES, _request, _written
from ksmtrace.serving.web_config import WebConfig

_HASH = "$2b$04$abcdefghijklmnopqrstuuVGOBYw7xTQc9bPmIGWbOyXuDCdKl2lG"
_OPEN = Access(WebConfig(), "")
_GUARDED = Access(WebConfig(users={"a": _HASH}, headers={"X-Frame-Options": "deny"}), "")
for _access in (_OPEN, _GUARDED):
    _access.pages = Pages(b"# TYPE a gauge\na 1\n", b"# TYPE a gauge\na 1.0\n# EOF\n")
_LOOP = asyncio.new_event_loop()


async def _exchange(data, access):
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_HEADER_BYTES)
    try:
        request = await _request(http, reader)
    except h11.RemoteProtocolError as error:
        answer, head = Answer(error.error_status_hint, b"no\n"), False
    else:
        if request is None:
            return
        answer, head = await access.answer("127.0.0.1", request), request.method == "HEAD"
    if http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
        assert _written(http, answer, head=head).startswith(b"HTTP/1.1 ")


def target(data):
    access = _GUARDED if data[:1] == b"\0" else _OPEN
    _LOOP.run_until_complete(_exchange(data.removeprefix(b"\0"), access))


def seeds():
    head = b"Host: a\r\nAccept: application/openmetrics-text;q=0.5\r\nAccept-Encoding: gzip\r\n\r\n"
    yield "scrape", b"GET /metrics HTTP/1.1\r\n" + head
    yield "names", b"GET http://a/metrics?name[]=a&name[]=b HTTP/1.1\r\n" + head
    yield "head", b"HEAD /-/healthy HTTP/1.0\r\n\r\n"
    yield "password", b"\0GET /metrics HTTP/1.1\r\nAuthorization: Basic YTpi\r\n" + head
    yield "body", b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\nHost: a\r\n\r\nabc"
