"""Who may scrape: basic authentication in front of an ASGI application.

The web configuration is read as it is when a request comes.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ksmtrace.errors import KsmtraceError
from ksmtrace.plugins.prometheus.web_config import WebConfigFile

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Callable[[], Awaitable[dict[str, Any]]], Send], Awaitable[None]]

HEALTHY = "/-/healthy"
METRICS = "/metrics"

_MOST_REMEMBERED = 100
_NOBODY = "$2b$10$abcdefghijklmnopqrstuuIiCjUoGYaBgOcbZRKuqhV6tGTYsOuLi"
"""A hash that no password has: to refuse a user who does not exist takes as long as any other."""


class Access:
    """Answers `METRICS` by another application, and `HEALTHY` by itself, to those who may ask."""

    def __init__(self, metrics: Application, config: WebConfigFile) -> None:
        self._metrics = metrics
        self._config = config
        self._salt = os.urandom(16)
        self._right: dict[bytes, None] = {}
        self._checker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ksmtrace-bcrypt")

    def close(self) -> None:
        """Let go of the thread that checks passwords."""
        self._checker.shutdown()

    async def __call__(
        self, scope: Scope, receive: Callable[[], Awaitable[dict[str, Any]]], send: Send
    ) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            return
        try:
            config = self._config.current()
        except KsmtraceError as error:
            await answer(send, 500, f"{error}\n")
            return
        if config.users and not await self._knows(scope, config.users):
            await answer(send, 401, "Unauthorized\n", {"WWW-Authenticate": "Basic"})
            return
        if scope["path"] == HEALTHY:
            await answer(send, 200, "ksmtrace is running\n", config.headers)
        elif scope["path"] != METRICS:
            await answer(send, 404, f"metrics are at {METRICS}\n", config.headers)
        else:
            await self._scraped(scope, receive, _with_headers(send, config.headers))

    async def _scraped(
        self, scope: Scope, receive: Callable[[], Awaitable[dict[str, Any]]], send: Send
    ) -> None:
        try:
            await self._metrics(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - another package's plugin may return anything
            what = error.args[0] if error.args else repr(error)
            await answer(send, 500, f"a plugin's metrics cannot be shown: {what}\n")

    async def _knows(self, scope: Scope, users: Mapping[str, str]) -> bool:
        given = next((v for name, v in scope["headers"] if name == b"authorization"), b"")
        scheme, _, encoded = given.partition(b" ")
        try:
            user, _, password = b64decode(encoded, validate=True).partition(b":")
        except Base64Error:
            return False
        if scheme.lower() != b"basic":
            return False
        hashed = users.get(user.decode("utf-8", "replace"), _NOBODY)
        # bcrypt is slow on purpose; a scraper that was right once is right until its hash changes.
        proof = hmac.digest(
            self._salt, b"\0".join((hashed.encode(), user, password)), hashlib.sha256
        )
        if proof in self._right:
            return True
        loop = asyncio.get_running_loop()
        right = await loop.run_in_executor(self._checker, _fits, password, hashed)
        if right and hashed is not _NOBODY:
            if len(self._right) >= _MOST_REMEMBERED:
                self._right.clear()
            self._right[proof] = None
            return True
        return False


def _fits(password: bytes, hashed: str) -> bool:
    import bcrypt

    try:
        # Longer passwords count by their first 72 bytes, as bcrypt itself has it.
        return bcrypt.checkpw(password[:72], hashed.encode())
    except ValueError:
        return False


async def answer(
    send: Send, status: int, text: str, headers: Mapping[str, str] | None = None
) -> None:
    """Send a plain text."""
    listed = {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}
    encoded = [(name.lower().encode(), value.encode()) for name, value in listed.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": text.encode()})


def _with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    more = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def sending(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await send(message)

    return sending
