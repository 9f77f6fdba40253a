"""Starts actors, tells them what to do, and never leaves one behind."""

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
from ksmtrace.workload import actor

_PATIENCE_SECONDS = 120.0


class Processes:
    """Processes of a workload by name; a context manager that ends them all."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="ksmtrace-")
        self._address = str(Path(self._directory.name) / "actors")
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
        """Start a process with no mergeable memory."""
        command = [sys.executable, str(actor.__file__), self._address, name]
        self._started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        self._accept(name)

    def do(self, process: str, op: str, **step: Any) -> None:  # noqa: ANN401 - a workload step's values
        """Have a process carry out one step, and wait until it has.

        Raises:
            KsmtraceError: the process could not, or is gone.
        """
        channel = self._sockets[process]
        try:
            channel.send(json.dumps({"op": op, **step}).encode())
            answer = json.loads(channel.recv(65536) or b'{"error": "the process is gone"}')
        except OSError as error:
            answer = {"error": str(error)}
        if "error" in answer:
            raise KsmtraceError(f"process {process!r} cannot {op} {step}: {answer['error']}")
        if op == "fork":
            self._accept(step["child"])

    def exit(self, process: str) -> None:
        """End a process and wait until the kernel has dropped its memory."""
        channel = self._sockets.pop(process)
        with suppress(OSError):
            channel.send(b'{"op": "exit"}')
            channel.recv(1)  # the other end closes when the process is gone
        channel.close()
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
            channel.close()
        for child in self._started:
            child.wait()
        self._sockets.clear()
        self.pids.clear()
        self._started.clear()
        self._listener.close()
        self._directory.cleanup()

    def _accept(self, name: str) -> None:
        channel, _ = self._listener.accept()
        channel.settimeout(_PATIENCE_SECONDS)
        hello = json.loads(channel.recv(65536))
        self._sockets[name] = channel
        self.pids[name] = hello["pid"]
