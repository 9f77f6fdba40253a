"""What `--help` gives as examples of each verb."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "live": (
        ("sudo ksmtrace live", "on the screen, until q"),
        ("sudo ksmtrace live --once --duration 10", "ten seconds, as text"),
        ("sudo ksmtrace live --listen 127.0.0.1:9095 --no-tui", "metrics for Prometheus"),
    ),
    "record": (
        ("sudo ksmtrace record -o host.ksmtrace --duration 60", "a minute"),
        (
            "sudo ksmtrace record -o host.ksmtrace --max-size 1GiB --keep 4",
            "the last GiB of events",
        ),
    ),
    "replay": (
        ("ksmtrace replay host.ksmtrace", "the answers of the run that was recorded"),
        ("ksmtrace replay host.ksmtrace --json", "for programs"),
        ("ksmtrace replay host.ksmtrace --check --warning saved=100MiB:", "for Nagios"),
    ),
    "report": (
        ("ksmtrace report host.ksmtrace -o host.html", "one page, which loads nothing"),
        ("ksmtrace report host.ksmtrace", "as text"),
    ),
    "simulate": (
        ("ksmtrace simulate W.toml", "on the engine, as the newest KSM"),
        ("ksmtrace simulate W.toml --variant ksm-5.10 --set pages_to_scan=1000", "as that of 5.10"),
        ("sudo ksmtrace simulate W.toml --on-kernel", "on this machine's KSM"),
    ),
    "whatif": (
        ("ksmtrace whatif host.ksmtrace --sweep pages_to_scan=100,1000", "tunables side by side"),
        ("ksmtrace whatif W.toml --variant ksm-6.12 uksm", "variants side by side"),
    ),
    "estimate": (
        ("sudo ksmtrace estimate", "what KSM would save of all processes"),
        ("sudo ksmtrace estimate --budget 30", "of a sample that is read in half a minute"),
        ("sudo ksmtrace estimate --vm web db", "of two guests"),
    ),
    "audit": (
        ("sudo ksmtrace audit", "who shares with whom"),
        ("sudo ksmtrace audit --policy tenants.toml", "and who must not"),
    ),
    "why": (
        ("sudo ksmtrace why 1234", "of a process, mapping by mapping"),
        ("sudo ksmtrace why 1234 7f5e2c000000-7f5e2c021000 --pages", "of some pages, each"),
        ("sudo ksmtrace why --vm web --json", "of a guest, for programs"),
    ),
    "doctor": (
        ("sudo ksmtrace doctor", "what can be seen here, and why not more"),
        ("ksmtrace doctor --json", "for programs"),
    ),
    "probemap": (
        ("ksmtrace probemap vmlinux -o kernel.probemap", "of a vmlinux with debug information"),
    ),
    "plugins": (("ksmtrace plugins", "all that are installed"),),
    "schema": (("ksmtrace schema run", "of what live and replay print with --json"),),
    "dashboards": (("ksmtrace dashboards -o DIR", "to import into Grafana and Prometheus"),),
    "demo": (
        ("sudo ksmtrace demo", "20 seconds, on the screen"),
        ("sudo ksmtrace demo --record demo.ksmtrace", "and kept, to replay"),
    ),
}
"""By verb: command lines that work, and what each is for."""


class KeepExamples(argparse.HelpFormatter):
    """Wraps every text except for examples, whose lines stay as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith(_HEAD) else super()._fill_text(text, width, indent)


_HEAD = "examples:\n"


def examples_of(verb: str) -> str:
    """The examples of a verb as the end of its `--help`."""
    rows = (f"  {command}\n      {words}" for command, words in EXAMPLES[verb])
    return _HEAD + "\n".join(rows)
