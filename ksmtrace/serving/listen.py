"""Where to serve: the address of `--listen`, read and bound."""

from __future__ import annotations

import socket

from ksmtrace.errors import KsmtraceError

LOOPBACK = "127.0.0.1"

_BACKLOG = 1024


def parse_listen(listen: str) -> tuple[str, int]:
    """Host and port of "ADDR:PORT", "[V6]:PORT", ":PORT" or "PORT"; the host may be left out.

    Without one it is the IPv4 loopback.

    Raises:
        KsmtraceError: the text has another form, or the port is not 0 to 65535.
    """
    host, _, port = listen.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    plain = host[1:-1] if bracketed else host
    if (
        not (port.isascii() and port.isdecimal() and int(port) <= 65535)
        or (":" in plain) != bracketed
    ):
        raise KsmtraceError(
            f"--listen {listen!r} is no address: give ADDR:PORT, [V6]:PORT or PORT, "
            f"for example {LOOPBACK}:9917"
        )
    return plain or LOOPBACK, int(port)


def bind(listen: str) -> socket.socket:
    """A socket that listens there and does not block.

    Raises:
        KsmtraceError: the address cannot be used.
    """
    host, port = parse_listen(listen)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        bound = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except (OSError, ValueError) as error:
        raise KsmtraceError(
            f"cannot listen on {listen}: {getattr(error, 'strerror', None) or error}; "
            "give a free port of this host with --listen ADDR:PORT"
        ) from error
    bound.setblocking(False)
    return bound
