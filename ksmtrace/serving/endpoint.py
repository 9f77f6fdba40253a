"""The tracer's side of serving: starts the process that serves, and sends it what to serve."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ksmtrace.errors import KsmtraceError
from ksmtrace.serving.channel import CONFIG, DIED, PAGES, pair, readable, sealed, send
from ksmtrace.serving.listen import bind
from ksmtrace.serving.pages import Pages
from ksmtrace.serving.web_config import WebConfigFile, handed_over

_LOOK_SECONDS = 0.5
_SOONEST_SECONDS, _LATEST_SECONDS = 0.2, 60.0
_LAST_SECONDS = 5.0
_READ_BYTES = 4096
_KEEPER = "ksmtrace.serving.keeper"
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ")


class Endpoint:
    """Has pages served by another process until closed; nothing that goes wrong there is raised.

    Args:
        listen: as `parse_listen` takes it.
        web_config: the web configuration file, or None.
        path: of the metrics.
        say: prints a line.

    Attributes:
        address: the host and port listened on.
        url: where metrics are served.
        restarts: how often the process that serves has died and was started again.

    Raises:
        KsmtraceError: the address or the web configuration cannot be used.
    """

    def __init__(
        self, listen: str, web_config: Path | None, path: str, say: Callable[[str], None]
    ) -> None:
        self._file = WebConfigFile(web_config)
        self._say = say
        self._socket = bind(listen)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        host, port = self.address
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'http' if self._file.last.tls is None else 'https'}://{shown}:{port}{path}"
        self.restarts = 0
        self._unsent: dict[str, bytes] = {}
        self._sent: dict[str, bytes] = {}
        self._said = ""
        self._delay = _SOONEST_SECONDS
        self._due = 0.0
        self._closing = False
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._thread: threading.Thread | None = None
        self._channel: socket.socket | None
        try:
            self._keeper, self._channel = self._start()
        except BaseException:
            self._socket.close()
            raise

    def watch(self) -> None:
        """Begin to send, in a thread, which has the privileges that are left by now."""
        self._look_at_config()
        self._thread = threading.Thread(target=self._watch, name="ksmtrace-serving", daemon=True)
        self._thread.start()

    def publish(self, pages: Pages) -> None:
        """Have these served from now on; never waits."""
        self._unsent[PAGES] = pages.to_message()
        with suppress(OSError):
            os.write(self._wake, b".")

    def close(self) -> None:
        """Stop serving, and give the port back."""
        self._closing = True
        with suppress(OSError):
            os.write(self._wake, b".")
        if self._thread is not None:
            self._thread.join()
        self._end_keeper()
        self._socket.close()
        os.close(self._woken)
        os.close(self._wake)

    def _start(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, theirs = pair()
        kept = {n: v for n, v in os.environ.items() if n in _ENVIRONMENT or n[:6] == "PYTHON"}
        if folders := kept.get("PYTHONPATH"):
            kept["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, folders.split(os.pathsep)))
        numbers = (self._socket.fileno(), theirs.fileno())
        try:
            keeper = subprocess.Popen(
                [sys.executable, "-P", "-m", _KEEPER, *map(str, numbers)],
                pass_fds=numbers,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=kept,
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise KsmtraceError(
                f"the process that serves metrics cannot be started: {error}"
            ) from error
        finally:
            theirs.close()
        return keeper, ours

    def _watch(self) -> None:
        while not self._closing:
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - what goes wrong here must not end the trace
                self._tell(f"serving metrics: {type(error).__name__}: {error}")
                time.sleep(_LOOK_SECONDS)

    def _look(self) -> None:
        channels = () if self._channel is None else (self._channel.fileno(),)
        ready = readable(self._woken, *channels, seconds=_LOOK_SECONDS)
        if self._woken in ready:
            os.read(self._woken, _READ_BYTES)
        if ready.intersection(channels):
            self._hear()
        self._look_at_config()
        if self._channel is None and time.monotonic() >= self._due:
            self._due = time.monotonic() + self._delay
            self._keeper, self._channel = self._start()
            self._unsent = {**self._sent, **self._unsent}
        for word in (CONFIG, PAGES):
            self._send(word)

    def _hear(self) -> None:
        """A child of the keeper has died, or the keeper itself, which is then started again."""
        assert self._channel is not None
        try:
            said = self._channel.recv(DIED.size)
        except OSError:
            said = b""
        if len(said) == DIED.size:
            self._died(DIED.unpack(said)[0])
            return
        self._channel.close()
        self._channel = None
        self._died(self._keeper.wait())
        self._due = time.monotonic() + self._delay
        self._delay = min(2 * self._delay, _LATEST_SECONDS)

    def _died(self, status: int) -> None:
        self.restarts += 1
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        self._tell(
            f"the process that serves metrics ended {how} and is started again; tracing goes on "
            f"(number {self.restarts} of this run)"
        )

    def _look_at_config(self) -> None:
        trouble = ""
        try:
            self._file.current()
        except KsmtraceError as error:
            trouble = str(error)
        message = handed_over(self._file.last, trouble)
        if message == self._unsent.get(CONFIG, self._sent.get(CONFIG)):
            return
        self._unsent[CONFIG] = message
        if not trouble:
            self._said = ""
        else:
            self._tell(f"{trouble}; every scrape is answered with 500 until it is mended")

    def _send(self, word: str) -> None:
        """Send what has not been sent, if it is taken: else it is, or a newer one, next time."""
        content = self._unsent.get(word)
        if content is None or self._channel is None:
            return
        descriptor = sealed(content)
        try:
            taken = send(self._channel, word, descriptor)
        finally:
            os.close(descriptor)
        if taken:
            self._sent[word] = content
            if self._unsent.get(word) is content:
                del self._unsent[word]

    def _tell(self, line: str) -> None:
        """Say a line, unless it is the one said last."""
        if line != self._said:
            self._said = line
            self._say(line)

    def _end_keeper(self) -> None:
        if self._channel is not None:
            self._channel.close()
        try:
            self._keeper.wait(timeout=_LAST_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(OSError):
                os.killpg(self._keeper.pid, signal.SIGKILL)
            self._keeper.wait()
