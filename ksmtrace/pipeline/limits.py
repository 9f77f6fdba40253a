"""How long a hook of another package may take, and what it may come to in time and memory."""

from __future__ import annotations

import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from ksmtrace.lines import say


@dataclass(frozen=True, slots=True)
class Limits:
    """What is allowed; a plugin is named at the first of each pair, and dropped at the second.

    Attributes:
        call_seconds: of one call.
        share: of the time of `window_seconds`: in one window, and in the next one as well.
        memory_bytes: by which the peak of the process's memory rose in the plugin's calls.
    """

    call_seconds: tuple[float, float] = (2.0, 10.0)
    share: float = 0.5
    window_seconds: float = 30.0
    memory_bytes: tuple[int, int] = (256 << 20, 512 << 20)


class HookLimitError(BaseException):
    """Raised in a hook that is over a limit; no Exception, so that a hook does not catch it."""


@dataclass(slots=True)
class _Account:
    began: float
    seconds: float = 0.0
    over: int = 0
    bytes: int = 0


class Watch:
    """Watches the hooks of plugins of other packages.

    A call that does not come back is interrupted by SIGALRM, which only the main thread can have,
    and only in Python: code in C is interrupted as it comes back.

    Args:
        limits: what is allowed.
        enforced: whether a plugin is dropped; else it is named, once for each kind.
    """

    def __init__(self, limits: Limits, *, enforced: bool) -> None:
        self._limits = limits
        self._enforced = enforced
        self._accounts: dict[str, _Account] = {}
        self._deadlines: list[float] = []
        self._told: set[tuple[str, str]] = set()

    @contextmanager
    def watching(self, name: str, hook: str) -> Iterator[None]:
        """Watch one call.

        Raises:
            HookLimitError: it, or what the plugin has come to, is over the second limit.
        """
        began, peak = time.monotonic(), _peak_bytes()
        with self._alarm(name, hook):
            yield
        now = time.monotonic()
        account = self._accounts.setdefault(name, _Account(began))
        account.seconds += now - began
        account.bytes += _peak_bytes() - peak
        self._judge_memory(name, account)
        if now - account.began >= self._limits.window_seconds:
            self._judge_share(name, account, now)

    def _judge_memory(self, name: str, account: _Account) -> None:
        first, second = self._limits.memory_bytes
        grown = f"plugin {name!r} has taken {account.bytes >> 20} MiB of memory"
        if account.bytes > second:
            self._over(name, "memory", grown)
        elif account.bytes > first:
            self._tell(name, "memory", f"{grown}; `live` drops it above {second >> 20} MiB")

    def _judge_share(self, name: str, account: _Account, now: float) -> None:
        share = account.seconds / (now - account.began)
        account.over = account.over + 1 if share > self._limits.share else 0
        account.began, account.seconds = now, 0.0
        taken = f"plugin {name!r} takes {share:.0%} of the time"
        if account.over > 1:
            self._over(name, "share", taken)
        elif account.over:
            self._tell(name, "share", f"{taken}; `live` drops it if it goes on so")

    def _over(self, name: str, kind: str, what: str) -> None:
        if self._enforced:
            raise HookLimitError(what)
        self._tell(name, f"{kind}, over", f"{what}: `live` would drop it")

    def _tell(self, name: str, kind: str, line: str) -> None:
        if (name, kind) not in self._told:
            self._told.add((name, kind))
            say(line)

    @contextmanager
    def _alarm(self, name: str, hook: str) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        first, second = self._limits.call_seconds
        began, back = time.monotonic(), False

        def ring(_number: int, _frame: FrameType | None) -> None:
            if back:
                return  # Python runs a handler when it can: here after the timer was stopped
            taken = time.monotonic() - began
            what = f"plugin {name!r} has not come back from {hook} after {taken:.3g} s"
            if taken < second:
                self._tell(name, "call", f"{what}; `live` drops it after {second:g} s")
            # again and again: a hook may catch everything, and a replay goes on waiting
            signal.setitimer(signal.ITIMER_REAL, second - taken if taken < second else first)
            if taken >= second:
                self._over(name, "call", what)

        outer_handler = signal.signal(signal.SIGALRM, ring)
        outer_seconds, _ = signal.setitimer(signal.ITIMER_REAL, first)
        try:
            try:
                yield
            finally:
                back = True
        finally:
            back = True  # also where the handler raised just before that was noted
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, outer_handler)
            if outer_seconds:
                left = outer_seconds - (time.monotonic() - began)
                signal.setitimer(signal.ITIMER_REAL, max(left, 0.001))


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
