"""Command-line options that several verbs share, and how their values are parsed."""

from __future__ import annotations

import argparse
import math
import re
from typing import TYPE_CHECKING

from ksmtrace.capture.decoded import MOST_BATCH_BYTES
from ksmtrace.model.verdict import CORE_WORTH_BYTES
from ksmtrace.pipeline.options import MOST_GROUPS

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

DEFAULT_BUDGET = 0.05
"""Share of ksmd's CPU time that the probes may take unless something else is asked for."""

INTERCEPTING = ("kprobe", "fentry")
"""Choices of probes that are known to cost more, and are asked for all the same."""

_MOST_MIB_DIGITS = 9

_SIZE = re.compile(r"(-?[0-9]{1,15}(?:\.[0-9]{1,9})?) ?(?:([KMGT])i?)?B?", re.ASCII | re.IGNORECASE)
_SHIFTS = {None: 0, "K": 10, "M": 20, "G": 30, "T": 40}
"""Of sizes: by how much a number is shifted."""

_MOST_PIDS = 1 << 22
"""The kernel has no more (PID_MAX_LIMIT of include/linux/threads.h, 64 bits)."""

_LIMIT_OF_GROUPS = 1000
"""Each has ten series: more are a burden to Prometheus, and to the run."""


def add_plugin_options(parser: argparse.ArgumentParser) -> None:
    """`-p`, by which plugins are chosen."""
    parser.add_argument(
        "-p",
        dest="plugins",
        action="append",
        default=[],
        metavar="NAME",
        help="use plugin NAME, or leave it out with no:NAME (`ksmtrace plugins` lists them)",
    )


def add_capture_options(parser: argparse.ArgumentParser) -> None:
    """How a capture is read."""
    parser.add_argument(
        "--max-batch",
        type=_mebibytes,
        default=MOST_BATCH_BYTES,
        metavar="MIB",
        help="refuse a capture with more than MIB to decode at once "
        f"(default {MOST_BATCH_BYTES >> 20})",
    )


def _mebibytes(text: str) -> int:
    digits = text.lstrip("0")
    if not (text.isascii() and text.isdigit() and digits and len(digits) <= _MOST_MIB_DIGITS):
        raise argparse.ArgumentTypeError(
            f"{text[:60]!r} is no number of MiB, of 1 to {_MOST_MIB_DIGITS} digits"
        )
    return int(digits) << 20


def add_worth_option(parser: argparse.ArgumentParser) -> None:
    """`--core-worth`, by which CPU time is weighed against memory."""
    parser.add_argument(
        "--core-worth",
        type=_memory,
        default=CORE_WORTH_BYTES,
        metavar="SIZE",
        help="memory that a core is worth, by which the verdict weighs ksmd's CPU time (default "
        f"{CORE_WORTH_BYTES >> 30}GiB, as much as machines have for each core; a cloud's prices of "
        "a core and of a GiB tell yours)",
    )


def bytes_of(text: str) -> float:
    """A size in bytes, as wherever the command line takes one: `500M`, `2GiB`, `1.5 g`, `4096`.

    Raises:
        ValueError: it is none.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    return float(found[1]) * (1 << _SHIFTS[found[2] and found[2].upper()])


def _memory(text: str) -> int:
    try:
        size = 0 if text.strip()[-1:].isdigit() else int(bytes_of(text))
    except ValueError:
        size = 0
    if not 0 < size < 1 << 50:
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is no size of memory, as 4GiB or 512MiB")
    return size


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """What a run shows, and to whom, with defaults for what only some verbs offer."""
    parser.set_defaults(interval=1.0, record=None, once=False, hold=False, log=False, check=False)
    add_worth_option(parser)
    parser.add_argument("--no-tui", action="store_true", help="no screen, plain text at the end")
    parser.add_argument(
        "--listen",
        metavar="ADDR:PORT",
        help="serve Prometheus metrics; without ADDR on 127.0.0.1 only",
    )
    parser.add_argument(
        "--web-config",
        metavar="FILE",
        help="with --listen: TLS and basic authentication, as exporters of the Prometheus project "
        "have them",
    )
    parser.add_argument(
        "--textfile", metavar="DIR", help="write ksmtrace.prom for node_exporter to DIR"
    )
    parser.add_argument(
        "--groups",
        type=_group_count,
        default=MOST_GROUPS,
        metavar="N",
        help=f"cgroups with metrics of their own, 0 to {_LIMIT_OF_GROUPS} (default {MOST_GROUPS}); "
        "all others are one, `other`",
    )


def add_source_options(parser: argparse.ArgumentParser, ends: str = "until Ctrl-C") -> None:
    """How a live kernel is traced; `ends`: for how long without --duration."""
    parser.add_argument(
        "--duration",
        type=positive_seconds,
        metavar="S",
        help=f"seconds to trace (default: {ends})",
    )
    parser.add_argument(
        "--interval",
        type=positive_seconds,
        default=1.0,
        metavar="S",
        help="seconds between two readings of the kernel's counters (default 1)",
    )
    parser.add_argument(
        "--probes",
        default="auto",
        metavar="WAY",
        help="auto (default: the best this kernel offers), gather, fentry, kprobe, "
        "tracepoint or sysfs",
    )
    parser.add_argument(
        "--totals",
        action="store_true",
        help="no stream of events: count merges, refusals and removals in the kernel, and read the "
        "totals with the kernel's counters; costs ksmd nothing that can be measured",
    )
    parser.add_argument(
        "--budget",
        type=_budget,
        metavar="SHARE",
        help="most of ksmd's CPU time that tracing may take, as 5%%: above it single events are no "
        f"more traced, as with --totals; none: no limit (default {DEFAULT_BUDGET:.0%}%; none with "
        "--probes kprobe or fentry, which intercept each page and take 30%% to 90%% by nature)",
    )
    parser.add_argument(
        "--probe-map",
        metavar="FILE",
        help="where inlined functions are in this very kernel (made by probemap)",
    )
    parser.add_argument(
        "--cow",
        type=_cow_share,
        default=0.02,
        metavar="SHARE",
        help="share of the time for which copy-on-write faults are timed, in windows at random "
        "(default 0.02); all: always, which slows every such fault; none: never",
    )
    parser.add_argument(
        "--drop-capabilities",
        action="store_true",
        help="once the probes are attached, give up the privileges that are not needed any more",
    )
    parser.add_argument(
        "--pid",
        type=pid_of,
        nargs="+",
        action="extend",
        default=[],
        metavar="PID",
        help="only pages of these processes",
    )


def pid_of(text: str) -> int:
    """A process id."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and 0 < int(text) <= _MOST_PIDS):
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is no pid, 1 to {_MOST_PIDS}")
    return int(text)


def _group_count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= _LIMIT_OF_GROUPS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 to {_LIMIT_OF_GROUPS}")
    return int(text)


def _budget(text: str) -> float:
    """A share in percent, "none" as infinity."""
    if text == "none":
        return math.inf
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = math.nan
    if not 0 < percent <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a share above 0%, as 5%, nor none")
    return percent / 100


def budget(asked: argparse.Namespace) -> float | None:
    """The share of ksmd's CPU time that the probes may take; None for any."""
    from ksmtrace.sources.live.plan import CHOICES

    limit: float | None = asked.budget
    if limit is None:
        intercepts = asked.probes in INTERCEPTING or "gather" not in CHOICES
        return None if intercepts else DEFAULT_BUDGET
    return None if limit == math.inf else limit


def _cow_share(text: str) -> float:
    """1.0 for "all", 0.0 for "none", else a share of the time."""
    from ksmtrace.errors import KsmtraceError
    from ksmtrace.sources.live.fault_probes import parse_share

    try:
        return parse_share(text)
    except KsmtraceError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def positive_seconds(text: str) -> float:
    """A number of seconds above 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds
