"""docs/METRICS.md, generated from the plugins' metric families: `make docs`."""

from collections import Counter

from prometheus_client.core import Metric

from ksmtrace.events import EventKind, ProcessGauge
from ksmtrace.pipeline.runner import Runner
from ksmtrace.plugins import BUILTINS, Role
from ksmtrace.plugins.prometheus import own_metrics
from support.runs import IN_STABLE, appended, plugin, removed, runner, start, stop
from support.story import QEMU, story
from support.streams import events, sample
from tools.docs import declared
from tools.docs.marked import DOCS

DOCUMENT = DOCS / "METRICS.md"

HEAD = """# Metrics

Made by `make docs` from the plugins' own help texts. Names, units and types follow Prometheus's
conventions; `_total` counts from the start of the trace. A run has those that its probes can see
(`ksmtrace_probe_info`). No series is labelled with a pid, an address or a page frame.
"""

_EVERY_GAUGE = {
    **{"pages_shared": 40, "pages_sharing": 80, "pages_unshared": 60, "pages_volatile": 80},
    **{"full_scans": 3, "stable_node_chains": 2, "stable_node_dups": 5, "pages_scanned": 785},
    **{"pages_skipped": 12, "ksm_zero_pages": 3, "general_profit": 311_296, "rmap_items": 260},
    **{"cow_ksm": 4, "ksmd_cpu_ns": 4_000_000},
}

_PROFIT = {"kind": EventKind.PROCESS_SAMPLE, "mm": QEMU}


_PROBE_TIME = {"kind": EventKind.PROBE_TIME}


def _broken_merges() -> list[dict[str, int]]:
    """So many merges end, by writes, that half of all have: both half-lives are known."""
    items = range(100_000, 101_000)
    pages = {item: {"address": item << 12} for item in items}
    fault = {"kind": EventKind.COW_FAULT, "mm": 1, "ts": 14 * 10**9}
    return [
        start(9),
        *({**appended(item, 77, new=item == items[0]), **page} for item, page in pages.items()),
        stop(9),
        *({**fault, **page} for page in pages.values()),
        *({**removed(item, IN_STABLE), **page, "ts": 15 * 10**9} for item, page in pages.items()),
    ]


def full_run() -> Runner:
    """A run of every analyzer that has every figure, yet to be run."""
    names = [builtin.name for builtin in BUILTINS if builtin.role is Role.ANALYZER]
    rows = [
        *sample(0, at_scan_stop=False, **dict.fromkeys(_EVERY_GAUGE, 0)),
        *_broken_merges(),
        *story(),
        {**_PROBE_TIME, "address": 5 * 10**8, "pfn": 10**7, "aux": 2 * 10**5, "ts": 16 * 10**9},
        {**_PROFIT, "address": ProcessGauge.KSM_PROCESS_PROFIT, "aux": 319_488},
        *sample(20 * 10**9, at_scan_stop=False, **_EVERY_GAUGE),
    ]
    return runner([events(*rows)], {name: plugin(name) for name in names}, interval=3600)


def families() -> list[tuple[str, Metric]]:
    """(plugin or "run", family) of a run that sees everything, by name."""
    run = full_run()
    shown = run.run().metrics
    owner = {
        family.name: name
        for name, some in run.calls.each("ksmtrace_metrics", session=run.session)
        for family in some
    }
    found = [(owner.get(family.name, "run"), family) for family in shown]
    found += [("prometheus", family) for family in own_metrics(0)]
    times = Counter(family.name for _, family in found)
    if set(times.values()) != {1}:
        raise ValueError(f"a name of two families: {times.most_common(3)}")
    return sorted(found, key=lambda one: one[1].name)


def document() -> str:
    """The whole page: what the analyzers declare, and what a run adds of its own."""
    rows = [
        (family.name, family.type, family.labels, analyzer, family.help)
        for analyzer in declared.ANALYZERS
        for family in declared.families(analyzer)
    ]
    for origin, made in families():
        if origin not in declared.ANALYZERS:
            name = made.name + {"counter": "_total", "info": "_info"}.get(made.type, "")
            labels = tuple({label for one in made.samples for label in one.labels})
            rows.append((name, made.type, labels, origin, made.documentation))
    lines = [
        HEAD,
        "| metric | type | labels | from | what it is, and what to do with it |",
        "|---|---|---|---|---|",
    ]
    for name, kind, names, origin, help_text in sorted(rows):
        lines.append(f"| `{name}` | {kind} | {', '.join(sorted(names))} | {origin} | {help_text} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
