"""The process that serves: no capability, no file, and no way to the tracer except what it is sent.

The tracer starts it as a program of its own (`python -m`). It keeps the listening socket and what
was sent last, and a child of its own serves: whatever happens to that, the next one has all it
needs, and the privileges of the tracer are not asked for again. It ends with the tracer.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import socket
import sys
import time
import unicodedata  # noqa: F401 - urllib and passwords.py import these when they need them, which
from contextlib import suppress

import bcrypt  # noqa: F401 - is too late: no file can be read then

from ksmtrace.kernel.capabilities import keep_only
from ksmtrace.serving import server
from ksmtrace.serving.channel import (
    DIED,
    PAGES,
    content_of,
    pair,
    readable,
    receive,
    send,
)
from ksmtrace.serving.landlock import let_go
from ksmtrace.serving.web_config import taken_over

_NOBODY = 65534
_SOONEST_SECONDS, _LATEST_SECONDS = 0.1, 60.0
_STEADY_SECONDS = 60.0
_AGAIN_SECONDS = 0.5
_LAST_SECONDS = 3.0
_PR_SET_DUMPABLE = 4
_OOM_SCORE = "500"


def give_up_privileges() -> None:
    """Become nobody, where that is possible, without any capability, for good.

    A process that may not change its user keeps it, and has no capability all the same. Where the
    kernel has Landlock, no file can be opened any more, whoever owns it.

    Raises:
        OSError: the kernel does not let go of capabilities.
    """
    # the kernel is to end this process before the tracer
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(_OOM_SCORE)
    with suppress(OSError):
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    keep_only(())
    let_go()
    # no core file with a key in it, and no other process of this user looks into it
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 24, 1 << 24))


class Keeper:
    """Keeps one child serving, with the configuration and the pages that came last."""

    def __init__(self, listener: socket.socket, tracer: socket.socket) -> None:
        self._listener, self._tracer = listener, tracer
        self._config = b""
        self._pages: int | None = None
        self._undelivered = False
        self._child: tuple[int, socket.socket] | None = None
        self._retired: set[int] = set()
        self._started = 0.0
        self._delay = _SOONEST_SECONDS
        self._due: float | None = None

    def run(self) -> None:
        """Return once the tracer is gone, and nothing serves any more."""
        while True:
            tracer = self._tracer.fileno()
            children = (self._child[1].fileno(),) if self._child else ()
            ready = readable(tracer, *children, seconds=self._patience())
            if ready.intersection(children):
                self._bury()
            if tracer in ready and not self._take():
                break
            if self._due is not None and time.monotonic() >= self._due:
                self._start()
            if self._undelivered:
                self._deliver()
            self._retired -= {pid for pid in self._retired if _ended(pid)}
        self._end()

    def _patience(self) -> float:
        due = _AGAIN_SECONDS if self._due is None else self._due - time.monotonic()
        return min(max(due, 0.0), _AGAIN_SECONDS)

    def _take(self) -> bool:
        """Take a message; False where the tracer is gone."""
        try:
            message = receive(self._tracer)
        except OSError:
            return True  # no descriptors for the moment: the next one has all that matters
        if message is None:
            return False
        word, descriptor = message
        if word == PAGES:
            if self._pages is not None:
                os.close(self._pages)
            self._pages, self._undelivered = descriptor, True
        else:
            self._config = content_of(descriptor)
            os.close(descriptor)
            self._retire()
            self._delay = _SOONEST_SECONDS
            self._start()
        return True

    def _start(self) -> None:
        ours, theirs = pair()
        self._due, self._started = None, time.monotonic()
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._tracer.close()
            os._exit(_serve(self._listener, theirs, self._config))
        theirs.close()
        self._child = pid, ours
        self._undelivered = self._pages is not None

    def _deliver(self) -> None:
        if self._child is not None and self._pages is not None:
            self._undelivered = not send(self._child[1], PAGES, self._pages)

    def _bury(self) -> None:
        """The child has closed its end: it is dead, or as good as that."""
        assert self._child is not None
        pid, ours = self._child
        self._child = None
        ours.close()
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        with suppress(OSError):
            self._tracer.send(DIED.pack(os.waitstatus_to_exitcode(status)), socket.MSG_DONTWAIT)
        now = time.monotonic()
        if now - self._started >= _STEADY_SECONDS:
            self._delay = _SOONEST_SECONDS
        self._due = now + self._delay
        self._delay = min(2 * self._delay, _LATEST_SECONDS)

    def _retire(self) -> None:
        """Have the child end what is under way, while another one serves."""
        if self._child is not None:
            pid, ours = self._child
            self._child = None
            ours.close()
            self._retired.add(pid)

    def _end(self) -> None:
        self._retire()
        deadline = time.monotonic() + _LAST_SECONDS
        while self._retired and time.monotonic() < deadline:
            self._retired -= {pid for pid in self._retired if _ended(pid)}
            time.sleep(0.02)
        for pid in self._retired:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _ended(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG)[0] == pid


def _serve(listener: socket.socket, pages: socket.socket, config: bytes) -> int:
    """Serve; returns the exit status."""
    try:
        serving = server.Server(listener, pages, *taken_over(config))
        asyncio.run(serving.serve())
    except BaseException:  # noqa: BLE001 - it is counted by its status; there is nobody to tell
        return 1
    return 0


def main() -> None:
    """Serve what the tracer sends: `keeper LISTENER TRACER`, two descriptors."""
    listener, tracer = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    # the tracer is ended by a signal and then ends this process, in order
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    give_up_privileges()
    Keeper(listener, tracer).run()


if __name__ == "__main__":
    main()
