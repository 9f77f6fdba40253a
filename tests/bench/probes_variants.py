"""The variants of tracing that the bench of probes measures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    """A plan of the product, or a part of one.

    Attributes:
        choice: as `--probes`.
        hidden: what the kernel is taken not to have, as in `LiveOptions`.
        cow: as `--cow`; by windows what is measured is the time between them.
        without: targets of hooks that are planned and compiled, and left unattached.
    """

    choice: str = "auto"
    hidden: frozenset[str] = frozenset()
    cow: float = 0.02
    without: frozenset[str] = frozenset()


VARIANTS = {
    "default": Variant(),
    "cow all": Variant(cow=1.0),
    "kprobe": Variant("kprobe"),
    "fentry": Variant("fentry"),
}
