"""The variants of tracing that the bench of probes measures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    """What `live` is asked for, or a part of it.

    Attributes:
        asked: options of `live`.
        without: files of bpf/ whose hooks are planned and compiled, and left unattached.
    """

    asked: str = ""
    without: tuple[str, ...] = ()


VARIANTS = {
    "default": Variant(),
    "without walk": Variant("", ("gather.c", "gather_leaving.c")),
    "without merges": Variant("", ("merge.c",)),
    "without stable tree": Variant("", ("stable_tree.c",)),
    "without mm, tunables": Variant("", ("mm.c", "tunable.c")),
    "cow all": Variant("--cow all"),
    "totals": Variant("--totals"),
    "kprobe": Variant("--probes kprobe --cow all"),
    "fentry": Variant("--probes fentry --cow all"),
}
