"""Checks passwords: who sends wrong ones waits for himself, who knows the right one does not.

bcrypt takes a tenth of a second or more by design, so checks are done one after the other in a
thread, and what was checked is remembered (as an HMAC under a key of this process).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Check = Callable[[bytes, str], bool]
Waiting = TypeVar("Waiting")
Key = TypeVar("Key")
Value = TypeVar("Value")

MOST_WAITING = 8
"""Checks that wait for one owner; the oldest is given up for a newer one."""

_MOST_REMEMBERED = 1000
_NOBODY = "$2b${cost:02}$abcdefghijklmnopqrstuuIiCjUoGYaBgOcbZRKuqhV6tGTYsOuLi"
"""A hash that no password has: to refuse a user who does not exist takes as long as any other."""


class Turns(Generic[Waiting]):
    """Whose turn it is: the owner with the fewest wrong passwords, and of his the newest."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Waiting]] = {}
        self._wrong: dict[str, int] = {}

    def wait(self, owner: str, one: Waiting) -> Waiting | None:
        """Have one wait; returns the one that does so no longer."""
        waiting = self._waiting.setdefault(owner, [])
        waiting.append(one)
        return waiting.pop(0) if len(waiting) > MOST_WAITING else None

    def next(self) -> tuple[str, Waiting] | None:
        """The owner and the one whose turn it is; None where nobody waits."""
        if not self._waiting:
            return None
        owner = min(self._waiting, key=lambda one: self._wrong.get(one, 0))
        found = self._waiting[owner].pop()
        if not self._waiting[owner]:
            del self._waiting[owner]
        return owner, found

    def was(self, owner: str, *, right: bool) -> None:
        """What a check came to."""
        count = self._wrong.pop(owner, 0)
        if not right:
            _remember(self._wrong, owner, count + 1)


@dataclass
class _Question:
    """A check that has not been done, and for how many it is."""

    proof: bytes
    password: bytes
    hashed: str
    answer: asyncio.Future[bool | None]
    waiting: int = 0


class Passwords:
    """The passwords of one configuration.

    Args:
        users: bcrypt hash by user.
        check: whether a password fits a hash.
    """

    def __init__(self, users: Mapping[str, str], check: Check | None = None) -> None:
        self._users = users
        self._nobody = _NOBODY.format(cost=max((int(h[4:6]) for h in users.values()), default=10))
        self._check = check or fits
        self._key = os.urandom(16)
        self._right: dict[bytes, bool] = {}
        self._wrong: dict[bytes, bool] = {}
        self._questions: dict[tuple[str, bytes], _Question] = {}
        self._turns: Turns[_Question] = Turns()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ksmtrace-bcrypt")
        self._working: asyncio.Task[None] | None = None

    async def right(self, owner: str, user: bytes, password: bytes) -> bool | None:
        """Whether it is the user's password; None where the owner has too many checks waiting."""
        hashed = self._users.get(user.decode("utf-8", "replace"), self._nobody)
        asked = b"\0".join((hashed.encode(), user, password))
        proof = hmac.digest(self._key, asked, hashlib.sha256)
        if (known := self._known(proof)) is not None:
            return known
        question = self._questions.get((owner, proof))
        if question is None:
            answer: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
            question = _Question(proof, password, hashed, answer)
            self._ask(owner, question)
        question.waiting += 1
        try:
            return await asyncio.shield(question.answer)
        finally:
            question.waiting -= 1

    def _ask(self, owner: str, question: _Question) -> None:
        self._questions[owner, question.proof] = question
        given_up = self._turns.wait(owner, question)
        if given_up is not None:
            self._answer(owner, given_up, None)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())

    def _answer(self, owner: str, question: _Question, answer: bool | None) -> None:
        del self._questions[owner, question.proof]
        question.answer.set_result(answer)

    def _known(self, proof: bytes) -> bool | None:
        return self._right.get(proof, self._wrong.get(proof))

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while (turn := self._turns.next()) is not None:
            owner, question = turn
            if not question.waiting:  # who asked has gone
                self._answer(owner, question, None)
                continue
            right = self._known(question.proof)
            if right is None:
                right = await loop.run_in_executor(
                    self._thread, self._check, question.password, question.hashed
                )
                right = right and question.hashed != self._nobody
                _remember(self._right if right else self._wrong, question.proof, right)
            self._turns.was(owner, right=right)
            self._answer(owner, question, right)


def fits(password: bytes, hashed: str) -> bool:
    """Whether a password has this bcrypt hash; it counts by its first 72 bytes, as bcrypt does."""
    import bcrypt

    try:
        return bcrypt.checkpw(password[:72], hashed.encode())
    except ValueError:
        return False


def _remember(remembered: dict[Key, Value], key: Key, value: Value) -> None:
    """Note it, and forget the oldest of too many."""
    remembered[key] = value
    if len(remembered) > _MOST_REMEMBERED:
        del remembered[next(iter(remembered))]
