"""The HTTP server: one connection, one request, one answer, and a time in which all that is over.

h11 reads requests and writes answers (HTTP/1.1, RFC 9112).
"""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus

import h11

from ksmtrace.serving.access import Access, Answer, Request
from ksmtrace.serving.channel import content_of, receive
from ksmtrace.serving.connections import Connections, owner_of
from ksmtrace.serving.pages import Pages
from ksmtrace.serving.tls import context_of
from ksmtrace.serving.web_config import WebConfig

MOST_CONNECTIONS = 512
MOST_OF_ONE = 256
"""Connections of one owner (`connections.owner_of`)."""

REQUEST_SECONDS = 10.0
"""In which a request must be there, a handshake of TLS included."""

WHOLE_SECONDS = 60.0
"""In which a connection is over, whatever it waits for: a password's check, a slow reader."""

_CLOSE_SECONDS = 2.0
_MOST_HEADER_BYTES = 16384
_PIECE_BYTES = 16384
_DESCRIPTORS_OF_OUR_OWN = 64
_PAUSE_SECONDS = 0.1
_AT_ONCE = 64


class Server:
    """Serves until it is told to stop.

    Args:
        listener: a socket that listens.
        pages: where pages come from (`channel.receive`); the end of it is the end of serving.
        config, trouble: as `Access` takes them.

    Raises:
        OSError, ValueError: of `tls.context_of`.
    """

    def __init__(
        self, listener: socket.socket, pages: socket.socket, config: WebConfig, trouble: str
    ) -> None:
        self._listener, self._pages = listener, pages
        self._access = Access(config, trouble)
        self._tls = None if config.tls is None else context_of(config.tls)
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = max(1, min(MOST_CONNECTIONS, descriptors - _DESCRIPTORS_OF_OUR_OWN))
        self._connections: Connections[asyncio.Task[None]] = Connections(
            most, max(1, min(MOST_OF_ONE, most // 2))
        )
        self._over = asyncio.Event()

    async def serve(self) -> None:
        """Serve until `stop`, or until nobody sends pages any more; then end what is under way."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, _context: None)  # a connection's: nobody's affair
        self._pages.setblocking(False)
        loop.add_reader(self._pages, self._receive)
        self._listen()
        await self._over.wait()
        loop.remove_reader(self._listener)
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        if under_way:
            await asyncio.wait(under_way, timeout=_CLOSE_SECONDS)

    def stop(self) -> None:
        """Take no more connections."""
        self._over.set()

    def _receive(self) -> None:
        try:
            message = receive(self._pages)
        except BlockingIOError:
            return
        except OSError:
            message = None
        if message is None:
            asyncio.get_running_loop().remove_reader(self._pages)
            self.stop()
            return
        _, descriptor = message
        try:
            self._access.pages = Pages.from_message(content_of(descriptor))
        finally:
            socket.close(descriptor)

    def _listen(self) -> None:
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        """Take those who wait, some at a time: others are being answered."""
        loop = asyncio.get_running_loop()
        for _ in range(_AT_ONCE):
            try:
                connection, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:  # there are no descriptors, or there is no memory for it
                loop.remove_reader(self._listener)
                loop.call_later(_PAUSE_SECONDS, self._listen)
                return
            connection.setblocking(False)
            owner = owner_of(str(address[0]))
            task = asyncio.create_task(self._hold(connection, owner))
            gone = self._connections.admit(owner, task)
            if gone is not None:
                gone.cancel()

    async def _hold(self, connection: socket.socket, owner: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            with suppress(OSError, TimeoutError, EOFError):
                async with asyncio.timeout(WHOLE_SECONDS):
                    await self._talk(connection, owner)
        finally:
            self._connections.leave(owner, task)
            connection.close()

    async def _talk(self, connection: socket.socket, owner: str) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_PIECE_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        secured = (
            {}
            if self._tls is None
            else {"ssl_handshake_timeout": REQUEST_SECONDS, "ssl_shutdown_timeout": _CLOSE_SECONDS}
        )
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, connection, ssl=self._tls, **secured
        )
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_HEADER_BYTES)
            await self._exchange(http, reader, writer, owner)
            writer.close()
            await writer.wait_closed()
        finally:
            transport.abort()

    async def _exchange(
        self,
        http: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        owner: str,
    ) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                request = await _request(http, reader)
        except TimeoutError:
            answer = Answer(408, b"no request came in time\n")
            request = None
        except h11.RemoteProtocolError as error:
            answer = Answer(error.error_status_hint, b"this is no request of HTTP\n")
            request = None
        else:
            if request is None:
                return
            answer = await self._access.answer(owner, request)
        if http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            writer.write(
                _written(http, answer, head=request is not None and request.method == "HEAD")
            )
            await writer.drain()


async def _request(http: h11.Connection, reader: asyncio.StreamReader) -> Request | None:
    """The request, without its body; None where the client has gone."""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(_PIECE_BYTES))
        elif isinstance(event, h11.Request):
            headers = {n.decode("latin-1"): v.decode("latin-1") for n, v in event.headers}
            return Request(event.method.decode("latin-1"), event.target.decode("latin-1"), headers)
        else:
            return None


def _written(http: h11.Connection, answer: Answer, *, head: bool) -> bytes:
    headers = {
        "Date": formatdate(usegmt=True),
        **answer.headers,
        "Content-Length": str(len(answer.body)),
        "Connection": "close",
    }
    response = h11.Response(
        status_code=answer.status,
        reason=HTTPStatus(answer.status).phrase.encode(),
        headers=list(headers.items()),
    )
    sent = http.send(response) or b""
    if not head:
        sent += http.send(h11.Data(data=answer.body)) or b""
    return sent + (http.send(h11.EndOfMessage()) or b"")
