"""The command line: one module per verb, each with `add_parser` and `run`."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from ksmtrace.cli.check import PluginStatus, asks_for_check, unknown_line
from ksmtrace.cli.examples import examples_of
from ksmtrace.cli.ignored import check_ignored
from ksmtrace.cli.memory import check_memory, why_out_of_memory
from ksmtrace.cli.parser import Parser
from ksmtrace.cli.streams import open_closed_streams, patient_stderr, print_to_nowhere
from ksmtrace.errors import ExitStatus, HostError, KsmtraceError
from ksmtrace.lines import say

VERBS = (
    *("live", "record", "replay", "report", "simulate", "whatif"),
    *("estimate", "why", "audit", "doctor", "probemap", "plugins", "schema", "dashboards"),
    "demo",
)
"""Every verb, in the order of `--help`; each is the module `ksmtrace.cli.<verb>`."""

_EPILOG = """\
examples:
  sudo ksmtrace live                          what KSM does now, on the screen
  sudo ksmtrace live --once --json --duration 10
  sudo ksmtrace record -o host.ksmtrace --duration 60
  ksmtrace replay host.ksmtrace               the same answers, offline
  ksmtrace report host.ksmtrace -o host.html  the same as one page to read
  sudo ksmtrace estimate                      what KSM would save, before it is on
  sudo ksmtrace why PID                       why a process's memory does not merge
  sudo ksmtrace simulate W.toml --on-kernel   a workload file on this machine's KSM
  ksmtrace whatif host.ksmtrace --sweep pages_to_scan=100,1000
  ksmtrace dashboards -o DIR                  Grafana dashboards, Prometheus rules
  sudo ksmtrace demo                          try it on a workload that is brought along

exit status: 0 done, 1 the run found what it was asked to flag, 2 bad usage or bad input,
3 this host cannot do it, 130 interrupted; with --check 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN
"""


def build_parser() -> Parser:
    """The parser of the whole command line."""
    parser = Parser(
        prog="ksmtrace",
        description="Profiler for Linux KSM (Kernel Samepage Merging).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    for name in VERBS:
        import_module(f"ksmtrace.cli.{name}").add_parser(verbs)
        verb = parser.of(name)
        verb.epilog = "\n\n".join(filter(None, [examples_of(name), verb.epilog]))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status.

    As the program, without `argv`, it ends the process itself where threads that a plugin has left
    behind would keep it from ending.
    """
    status = _main(argv)
    if argv is None:
        _leave_behind(status)
    return status


def _leave_behind(status: int) -> None:
    """End the process where Python would wait for threads that do not end."""
    deadline = time.monotonic() + _THREADS_END_SECONDS
    while left := [
        one
        for one in threading.enumerate()
        if not one.daemon and one is not threading.main_thread()
    ]:
        if time.monotonic() > deadline:
            say(f"a plugin has left threads behind, which are ended: {left[0].name}")
            with suppress(OSError, ValueError):
                sys.stdout.flush()
            os._exit(status)
        left[0].join(0.05)


_THREADS_END_SECONDS = 2.0


def _main(argv: Sequence[str] | None) -> int:
    # NumPy would start a thread per core for algebra that nobody does here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A thread of pyarrow's that tidies memory would keep what --drop-capabilities gives up.
    os.environ.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false")
    open_closed_streams()
    tell = _say_unknown if asks_for_check(sys.argv[1:] if argv is None else argv) else _say
    with patient_stderr():
        try:
            return _run(argv)
        except KsmtraceError as error:
            lacking = why_out_of_memory(error) if error.__cause__ is not None else None
            return tell(lacking or error)
        except KeyboardInterrupt:
            return tell(None)
        except BrokenPipeError:
            # The reader of our output has gone, as in `ksmtrace … | head`: nowhere to print to.
            print_to_nowhere()
            return ExitStatus.DONE
        except (MemoryError, ImportError, OSError) as error:
            told = why_out_of_memory(error) or _of_output(error)
            if told is None:
                raise
            return tell(told)


def _run(argv: Sequence[str] | None) -> int:
    check_memory()
    parser = build_parser()
    options = parser.parse_args(argv)
    if options.version:
        from ksmtrace import __version__

        print(f"ksmtrace {__version__}")
        sys.stdout.flush()
        return ExitStatus.DONE
    if options.verb is None:
        parser.print_help(sys.stderr)
        return ExitStatus.BAD_INPUT
    check_ignored(parser.of(options.verb), options)
    status: int = options.run(options)
    sys.stdout.flush()
    return status


def _say(error: KsmtraceError | None) -> int:
    """Tell what ended the run; None is an interruption, which who interrupts knows of."""
    if error is None:
        return ExitStatus.INTERRUPTED
    say(error)
    return error.status


def _say_unknown(error: KsmtraceError | None) -> int:
    """The same to a monitoring system, which takes 2 for CRITICAL and does not know 130."""
    print(unknown_line("interrupted" if error is None else error))
    return PluginStatus.UNKNOWN


def _of_output(error: BaseException) -> KsmtraceError | None:
    """The error to tell where standard output could not be written to, which then leads nowhere."""
    if not isinstance(error, OSError) or error.filename is not None:
        return None
    if error.errno not in _CANNOT_WRITE:
        return None
    print_to_nowhere()
    return HostError(f"standard output: {error.strerror}: make room, or print elsewhere")


_CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
"""What a write to standard output can meet; files that a verb writes report their own."""
