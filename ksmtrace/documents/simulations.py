"""Declares the documents of the engine's verbs: simulate and whatif."""

from __future__ import annotations

from ksmtrace.documents.fact import VERSION, fact
from ksmtrace.engine.ksm.counters import COUNTERS
from ksmtrace.figures import FigureSpec

SIMULATE = (
    *VERSION,
    fact("name", "text", "The workload's."),
    fact("on", "text", "What it ran on.", one_of=("engine", "kernel")),
    fact("variant", "text", "The engine's; null on a kernel.", null=True),
    fact(
        "mode",
        "text",
        "Of the engine: both decide alike, `reference` follows the kernel's code step by step.",
        one_of=("accelerated", "reference"),
        optional=True,
    ),
    fact("kernel", "text", "Its release; null on the engine.", null=True),
    fact(
        "snapshots[]",
        "",
        "One after each `scan` and for each `snapshot`.",
        fact("step", "count", "The step, counted from 0."),
        fact("name", "text", "`scan`, or the snapshot's."),
        fact(
            "counters.<counter>",
            "count",
            f"By their names in sysfs: {', '.join(f'`{name}`' for name in COUNTERS)}. "
            "`pages_scanned` and `pages_skipped` count from the beginning "
            "of the workload; one that the kernel or the variant does not have is null; `pksm` has "
            "`stable_nodes` and `rmap_items` besides.",
            null=True,
        ),
        fact(
            "groups[][]",
            "text",
            'For each KSM page that a region maps, who maps it, as "process/region/page": also one '
            "mapper alone, also where a region is not mergeable, never zero pages; null where it "
            "was not asked for, or where the kernel sets KPF_KSM on every anonymous page, which is "
            "said on stderr.",
            null=True,
        ),
    ),
)

_GAUGES = ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile")


def _costs(*, at_end: bool) -> tuple[FigureSpec, ...]:
    when = "In all" if at_end else "Until then"
    return (
        fact("passes", "count", f"{when}: full passes."),
        fact("batches", "count", f"{when}: batches of `pages_to_scan`."),
        fact("pages_scanned", "pages", f"{when}: pages examined."),
        fact(
            "comparisons",
            "count",
            f"{when}: pages or hashes compared; null under `--no-comparisons`, except for what is "
            "no version of KSM, which counts anyway.",
            null=True,
        ),
        fact("cow_breaks", "count", f"{when}: writes that broke a merge."),
        fact("zero_pages", "pages", "Entries that map the zero page, now."),
        fact("metadata_bytes", "bytes", "rmap_items and stable nodes, 64 bytes each, now."),
        fact(
            "saved_bytes",
            "bytes",
            "Page table entries that need no page of their own, zero pages included, now.",
        ),
    )


def _apart(help_text: str, key: str) -> FigureSpec:
    return fact(
        key,
        "",
        help_text,
        fact("baseline", "count", "Of the first scenario."),
        fact("capture", "count", "Of the capture."),
        fact("difference", "count", "The first less the second."),
    )


WHATIF = (
    *VERSION,
    fact("source", "text", "What kind of file it is.", one_of=("capture", "workload")),
    fact("name", "text", "The file's, or the workload's."),
    fact(
        "passes",
        "count",
        "Passes that the capture has from beginning to end; null for a workload.",
        null=True,
    ),
    fact(
        "scenarios[]",
        "",
        "What was run; the first is the file as it is.",
        fact("variant", "text", "The variant."),
        fact(
            "tunables.<tunable>", "number or text", "Initial ones; others have kernel's defaults."
        ),
        fact(
            "left_out[]",
            "text",
            "Tunables asked for, or set by the file, that the variant does not have.",
        ),
        fact("baseline", "flag", "True for the first."),
        fact(
            "ended_early",
            "text",
            "Why the run did not come to its end, such as a workload's tunable refused with EBUSY; "
            "or null.",
            null=True,
        ),
        *_costs(at_end=True),
        fact("net_saved_bytes", "bytes", "`saved_bytes` less `metadata_bytes`."),
        fact("largest_saved_bytes", "bytes", "The most at the end of a pass."),
        fact("mean_saved_bytes", "bytes", "The mean at the ends of passes.", null=True),
        fact(
            "settled_after_passes",
            "count",
            "When the saved bytes changed for the last time; null while they still change.",
            null=True,
        ),
        fact("settled_after_batches", "count", "The same in batches.", null=True),
        fact(
            "settled_after_sleep_seconds",
            "seconds",
            "The sleeps of ksmd between those, which is the least time that it takes; null also "
            "where the variant has no `sleep_millisecs`.",
            null=True,
        ),
        fact(
            "over_time[]",
            "",
            "At the end of each pass, at most 1000 of them.",
            *_costs(at_end=False),
            *(
                fact(gauge, "pages", "As in sysfs; null where the variant has no such.", null=True)
                for gauge in _GAUGES
            ),
        ),
        fact(
            "notes[]",
            "text",
            "What the engine had to say, such as a tunable that the traced kernel took and this "
            "scenario refuses: it stays.",
        ),
    ),
    fact(
        "baseline_difference",
        "",
        "The first scenario against the capture; null for a workload.",
        fact("passes", "count", "Passes of the capture."),
        fact("passes_compared", "count", "Those whose gauges the capture holds."),
        fact("passes_equal", "count", "Those in which all four are equal."),
        fact(
            "gauges",
            "",
            "Scenario less kernel at the ends of passes; null where none could be compared.",
            *(
                fact(
                    gauge,
                    "",
                    "As in sysfs.",
                    fact("largest", "count", "The largest difference.", null=True),
                    fact("mean", "", "The mean of the differences' sizes.", null=True),
                    fact("at_end", "count", "The last difference.", null=True),
                    fact("kernel_at_end", "count", "The kernel's last.", null=True),
                )
                for gauge in _GAUGES
            ),
        ),
        _apart("Pages examined.", "pages_scanned"),
        _apart("Writes that broke a merge.", "cow_breaks"),
        null=True,
    ),
    fact(
        "assumptions[]",
        "text",
        "What is assumed in place of facts that the file lacks, a line each.",
    ),
)
