"""Messages from the tracer to the process that serves: a word, and a content nobody can change.

A content is a sealed memfd (memfd_create(2), F_SEAL_WRITE), whose descriptor goes over a Unix
socket: a message is small whatever its content, arrives whole or not at all, and who sends it never
waits for who reads it.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct

PAGES, CONFIG = "pages", "config"
"""The words."""

DIED = struct.Struct("=i")
"""What the tracer is told: who served has ended; the exit status, or minus a signal's number."""

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_LONGEST_WORD = 64
_QUEUE_BYTES = 4096
"""Of the socket: a few messages. Who does not read for long finds the newest ones missing, and is
sent the last one again."""


def pair() -> tuple[socket.socket, socket.socket]:
    """The sender's end, which does not block, and the reader's."""
    sender, reader = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _QUEUE_BYTES)
    sender.setblocking(False)
    return sender, reader


def sealed(content: bytes) -> int:
    """A descriptor of a file in memory that holds `content` and can no longer be changed.

    Raises:
        OSError: there are no descriptors, or there is no memory.
    """
    descriptor = os.memfd_create("ksmtrace", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def content_of(descriptor: int) -> bytes:
    """What a sealed file holds; its offset, which others share, stays."""
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def send(sender: socket.socket, word: str, descriptor: int) -> bool:
    """Whether the message was taken; not so where the reader is behind, or gone."""
    try:
        socket.send_fds(sender, [word.encode()], [descriptor])
    except OSError:
        return False
    return True


def readable(*descriptors: int, seconds: float) -> set[int]:
    """Those that can be read, or have ended, within this time."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(seconds * 1000)}


def receive(reader: socket.socket) -> tuple[str, int] | None:
    """A message: its word, and a descriptor that the caller closes. None where the sender is gone.

    Raises:
        OSError: nothing is there and the socket does not block, or there are no descriptors.
    """
    word, descriptors, _, _ = socket.recv_fds(reader, _LONGEST_WORD, 1)
    if not word or not descriptors:
        return None
    return word.decode("ascii", "replace"), descriptors[0]
