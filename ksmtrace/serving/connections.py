"""Which connections are held: at most so many, and whom a new one takes the place of."""

from __future__ import annotations

import ipaddress
from typing import Generic, TypeVar

Held = TypeVar("Held")


def owner_of(address: str) -> str:
    """Who is taken for one client: an IPv4 address, or an IPv6 network of 64 bits.

    A host has a network of IPv6 for itself (RFC 4291), and may use any address of it.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


class Connections(Generic[Held]):
    """The connections that are open, oldest first, by owner.

    Nobody is refused: at a limit the oldest goes, of the owner who is at his own limit, else of the
    owner who holds most. Who connects and says nothing thus drives out himself, or others of the
    same address that have had longer for their request than it takes.

    Args:
        most: in all.
        most_each: of one owner.
    """

    def __init__(self, most: int, most_each: int) -> None:
        self._most, self._most_each = most, most_each
        self._of: dict[str, dict[Held, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def admit(self, owner: str, connection: Held) -> Held | None:
        """Take a connection in; returns the one to close for it, which is no longer among these."""
        gone = None
        if len(self._of.get(owner, ())) >= self._most_each:
            gone = self._oldest(owner)
        elif self._count >= self._most:
            gone = self._oldest(max(self._of, key=lambda one: len(self._of[one])))
        self._of.setdefault(owner, {})[connection] = None
        self._count += 1
        return gone

    def leave(self, owner: str, connection: Held) -> None:
        """A connection is over; it may have been closed for another one."""
        held = self._of.get(owner, {})
        if connection in held:
            del held[connection]
            self._count -= 1
        if not held:
            self._of.pop(owner, None)

    def _oldest(self, owner: str) -> Held:
        connection = next(iter(self._of[owner]))
        self.leave(owner, connection)
        return connection
