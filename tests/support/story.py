"""One stream with something of everything: processes, passes, merges, failures, changes, an
exit."""

from ksmtrace.events import EventKind, Flag
from support.runs import (
    EMPTY,
    FREED,
    IN_STABLE,
    IN_UNSTABLE,
    TO_STABLE,
    TO_UNSTABLE,
    appended,
    attempt,
    examined,
    exit_of,
    process,
    removed,
    start,
    stop,
)
from support.streams import sample

QEMU, JAVA = 0xFFFF888000000000, 0xFFFF888000001000

GAUGES = {"pages_shared": 40, "pages_sharing": 80, "pages_unshared": 60, "pages_volatile": 80}
"""The kernel's counters at the end."""


def story() -> list[dict]:
    """The rows."""
    return [
        *EMPTY,
        process(QEMU, 4711, b"qemu-system-x86"),
        process(JAVA, 815, b"java"),
        start(0),
        *(examined(i, mm=QEMU, old=0, new=i) for i in range(1, 181)),
        *(examined(i, mm=JAVA, old=0, new=i) for i in range(181, 263)),
        stop(0),
        start(1),
        *_placed(),
        *_changed(181, 261, mm=JAVA, seqnr=1),
        examined(261, mm=QEMU, old=3, new=3),
        examined(262, FREED, mm=QEMU, old=3, new=3),
        removed(262, FREED, mm=QEMU),
        stop(1),
        start(2),
        *_settled(),
        *_changed(181, 260, mm=JAVA, seqnr=2),
        removed(260, FREED, mm=JAVA),
        exit_of(0xDEAD),
        *({"kind": EventKind.COW_FAULT, "mm": JAVA, "aux": 2000} for _ in range(3)),
        {"kind": EventKind.COW_FAULT, "mm": QEMU, "aux": 900, "flags": Flag.BY_KERNEL},
        stop(2),
        *sample(at_scan_stop=True, ts=10_000_000_000, **GAUGES),
        *sample(ts=10_000_000_500, general_profit=311_296, pages_scanned=785, **GAUGES),
    ]


def _placed() -> list[dict]:
    """Items 1 to 120 share 40 nodes, 121 to 180 wait in the unstable tree."""
    rows: list[dict] = []
    for item in range(1, 121):
        node = 5000 + item % 40
        rows += [
            attempt(item, flags=Flag.HAS_KPAGE),
            {"kind": EventKind.REPLACE_PAGE, "rmap_item": item, "mm": QEMU},
            appended(item, node, new=item <= 40, mm=QEMU),
            examined(item, TO_STABLE, mm=QEMU, old=item, new=item, node=node),
        ]
    for item in range(121, 181):
        rows.append(examined(item, TO_UNSTABLE, mm=QEMU, old=item, new=item))
    return [*rows, attempt(121, err=-14), attempt(122, err=-16)]


def _changed(first: int, end: int, *, mm: int, seqnr: int) -> list[dict]:
    return [
        examined(item, mm=mm, old=item * seqnr, new=item * seqnr + 1) for item in range(first, end)
    ]


def _settled() -> list[dict]:
    """The last pass: all stay where they are; 180 is found equal to 1 and written to at once."""
    rows = [
        examined(i, IN_STABLE | TO_STABLE, mm=QEMU, old=i, new=i, node=5000 + i % 40)
        for i in range(1, 121)
    ]
    for item in range(121, 181):
        rows += [
            removed(item, IN_UNSTABLE, mm=QEMU),
            examined(item, IN_UNSTABLE | TO_UNSTABLE, mm=QEMU, old=item, new=item),
        ]
    return [
        *rows,
        removed(180, IN_UNSTABLE, mm=QEMU),
        appended(180, 5001, mm=QEMU),
        removed(180, IN_STABLE, mm=QEMU),
        {"kind": EventKind.BREAK_COW, "rmap_item": 180, "mm": QEMU},
        examined(180, TO_UNSTABLE, mm=QEMU, old=180, new=180),
    ]
