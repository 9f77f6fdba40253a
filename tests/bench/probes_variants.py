"""The variants of tracing that the bench of probes measures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    """A plan of the product, or a part of one.

    Attributes:
        choice: as `--probes`.
        hidden: what the kernel is taken not to have, as in `LiveOptions`.
        without: targets of hooks that are planned and compiled, and left unattached.
    """

    choice: str = "auto"
    hidden: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()


VARIANTS = {
    "default": Variant(),
    "kprobe": Variant("kprobe"),
    "fentry": Variant("fentry"),
}
