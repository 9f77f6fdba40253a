"""The processes of a workload on a kernel: starts workers, commands them, leaves none behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from ksmtrace.errors import KsmtraceError
from ksmtrace.workload import worker
from ksmtrace.workload.content import Content

_PATIENCE_SECONDS = 120.0


class Processes:
    """Processes of a workload by name; a context manager that ends them all."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="ksmtrace-")
        self._address = str(Path(self._directory.name) / "workers")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(self._address)
        self._listener.listen()
        self._listener.settimeout(_PATIENCE_SECONDS)
        self._started: list[subprocess.Popen[bytes]] = []
        self._sockets: dict[str, socket.socket] = {}
        self.pids: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def spawn(self, name: str) -> None:
        """Start a process with no mergeable memory.

        Raises:
            KsmtraceError: it does not start.
        """
        command = [sys.executable, str(worker.__file__), self._address, name]
        # a group of its own: Ctrl-C on the terminal is for the driver, which ends its processes
        self._started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0))
        self._accept(name)

    def do(self, process: str, op: str, **step: Any) -> dict[str, Any]:  # noqa: ANN401
        """Have a process carry out one step, wait until it has, and return its answer.

        Raises:
            KsmtraceError: the process could not, or is gone.
        """
        channel = self._sockets[process]
        try:
            channel.send(json.dumps({"op": op, **_worded(step)}).encode())
            answer: dict[str, Any] = json.loads(
                channel.recv(65536) or b'{"error": "the process is gone"}'
            )
        except OSError as error:
            answer = {"error": str(error)}
        if "error" in answer:
            shown = {key: str(value) for key, value in step.items()}
            raise KsmtraceError(f"process {process!r} cannot {op} {shown}: {answer['error']}")
        if op == "fork":
            self._accept(step["child"])
        return answer

    def exit(self, process: str) -> None:
        """End a process and wait until the kernel has dropped its memory."""
        channel = self._sockets.pop(process)
        with suppress(OSError):
            channel.send(b'{"op": "exit"}')
        _wait_for_end(channel)
        pid = self.pids.pop(process)
        for child in self._started:
            if child.pid == pid:
                child.wait()

    def close(self) -> None:
        """End every process, also those that do not listen any more."""
        for pid in self.pids.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for channel in self._sockets.values():
            _wait_for_end(channel)
        for child in self._started:
            child.wait()
        self._sockets.clear()
        self.pids.clear()
        self._started.clear()
        self._listener.close()
        self._directory.cleanup()

    def _accept(self, name: str) -> None:
        try:
            channel, _ = self._listener.accept()
        except TimeoutError as error:
            raise KsmtraceError(f"process {name!r} does not start") from error
        channel.settimeout(_PATIENCE_SECONDS)
        hello = json.loads(channel.recv(65536))
        self._sockets[name] = channel
        self.pids[name] = hello["pid"]


def _wait_for_end(channel: socket.socket) -> None:
    """Return when the process at the other end is gone; its memory goes before its sockets."""
    with channel, suppress(OSError):
        while channel.recv(65536):
            pass


def _worded(step: dict[str, Any]) -> dict[str, Any]:
    """The step as a worker takes it: a content as page 0's word and the stride to the next."""
    if "content" not in step:
        return step
    rest = dict(step)
    content = rest.pop("content")
    if isinstance(content, str):
        content = Content.parse(content)
    return {**rest, "word": content.word(0), "stride": content.word(1) - content.word(0)}
