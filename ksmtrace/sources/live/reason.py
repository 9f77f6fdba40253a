"""Why a probe is out: what doctor prints, and by what kind of cause its advice goes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ksmtrace.session import Exactness


class Cause(StrEnum):
    """What kind of reason it is.

    lacking: the kernel has not what the probe needs, or refuses the mechanism.
    hidden_addresses: kallsyms does not show what it has.
    other_kind: the probe by which another kind of event is seen.
    """

    LACKING = "lacking"
    HIDDEN_ADDRESSES = "hidden_addresses"
    OTHER_KIND = "other_kind"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason why a probe is out.

    Attributes:
        sentences: for people; where several mechanisms were tried, one of each.
        options: of the kernel's configuration, whose lack is the reason.
    """

    sentences: tuple[str, ...]
    cause: Cause = Cause.LACKING
    options: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The reason as one line."""
        return "; ".join(self.sentences)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A probe that is out, and why: at least one reason.

    Attributes:
        way: the probe's name.
        exactness: what it would have been worth.
    """

    way: str
    exactness: Exactness
    reasons: tuple[Reason, ...]
