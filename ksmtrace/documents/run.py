"""Declares the document of a run: what live, record, demo, replay and report print."""

from __future__ import annotations

from ksmtrace.documents.fact import PROBE, VERSION, fact
from ksmtrace.events.kinds import PAGE_GAUGES, EventKind
from ksmtrace.pipeline.state import LOSS_CAUSES

_LOSSES = {
    "ring": "It was full.",
    "recursion": "The kernel passed a program over, as it or another one ran on that CPU: told of "
    "fentry from 5.12 on, of all from 6.7 on. So many at most.",
    "missed": "A kprobe within another one, or a kretprobe without an instance left; told from 6.7 "
    "on. So many at most.",
    "gathering": "What was gathered of a batch of ksmd lacks pages that it examined; at least so "
    "many where the kernel does not count these, before 6.4.",
    "silent": "Probes that did not fire, as far as the kernel counted: at least so many.",
}

_COUNTERS = "by their sysfs names"

_DIFFERENCE = (
    fact("event", "count", "Its number in the stream, from 0."),
    fact("kind", "text", "Its kind.", one_of=tuple(kind.name for kind in EventKind)),
    fact("scan", "count", "The pass; null where none was seen to begin.", null=True),
    fact("mm", "text", "The page's mm, in hexadecimal."),
    fact("address", "text", "The page's address, in hexadecimal."),
    fact("rule", "text", "The rule by its name."),
    fact("function", "text", "Where it lives in mm/ksm.c."),
    fact("kernel", "text", "What the kernel did."),
    fact("engine", "text", "What the engine expected."),
    fact("sentence", "text", "All of it, in one sentence."),
)

ENGINE = fact(
    "engine",
    "",
    "With `replay --engine`: how the kernel's decisions compare with the reference engine's.",
    fact(
        "variant",
        "text",
        "The variant that works as the kernel does: the last whose behaviour came with a release "
        "no later than the kernel's.",
    ),
    fact("decisions", "count", "Decisions followed."),
    fact("agreed", "count", "Taken alike."),
    fact("parted", "count", "Taken otherwise."),
    fact("unknown", "count", "Not to be told from a capture."),
    fact(
        "by_rule.<rule>",
        "",
        "The same by rule.",
        fact("function", "text", "Where it lives in mm/ksm.c."),
        fact("agreed", "count", "Taken alike."),
        fact("parted", "count", "Taken otherwise."),
        fact("unknown", "count", "Not to be told."),
    ),
    fact("first_difference", "", "Null without any.", *_DIFFERENCE, null=True),
    fact("differences[]", "", "The first 100.", *_DIFFERENCE),
    fact("tunables.<tunable>", "number or text", "Those that decisions depend on, at the end."),
    optional=True,
)

RUN = (
    *VERSION,
    fact("source", "text", "Where events come from.", one_of=("live", "capture", "engine")),
    fact(
        "kernel",
        "",
        "The traced kernel.",
        fact("release", "text", "`uname -r`."),
        fact("build_id", "text", "Of /sys/kernel/notes, in hexadecimal."),
    ),
    fact(
        "tier",
        "text",
        "The set of probes ([Probes](#probes)); an engine's run is full.",
        one_of=("full", "partial", "tracepoint", "totals", "sysfs"),
    ),
    fact(
        "timed",
        "flag",
        "False of the engine's runs: all their times are made up, and only show the order of "
        "events.",
    ),
    fact("duration_seconds", "seconds", "From the start of the trace to its last event."),
    fact(
        "probes.<event>",
        "",
        "How each event is seen.",
        *PROBE,
        fact(
            "share",
            "ratio",
            "Of the time in which the probe is attached, where that is in windows.",
            optional=True,
        ),
    ),
    fact(
        "silent.<event>",
        "",
        "Probes that are attached and did not fire. While it lasts the event is `absent` in "
        "`probes` and has no series; figures are null if none of its events ever came.",
        fact("from_seconds", "seconds", "Its beginning, into the run."),
        fact("until_seconds", "seconds", "Its end so far, likewise."),
        fact("over", "flag", "Whether that is over."),
        fact(
            "missed",
            "count",
            "Events that the kernel counted meanwhile, 0 where no counter of it tells.",
        ),
        fact("reason", "text", "Why."),
    ),
    fact(
        "events",
        "",
        "Events of the stream, or counted in the kernel (`--totals`).",
        fact("total", "count", "All of them."),
        fact("lost", "count", "How many were dropped."),
        fact(
            "lost_by_cause",
            "",
            "Those dropped, by cause.",
            *(fact(cause, "count", _LOSSES[cause]) for cause in LOSS_CAUSES),
        ),
        fact("by_kind.<kind>", "count", "How many of each kind."),
    ),
    fact(
        "stream",
        "",
        "Whether the stream of events ended before the run, above `--budget`: then analyzers' "
        "figures that need events are as of that time, `events` goes on with what is counted.",
        fact("ended_seconds", "seconds", "When, into the run; null where not.", null=True),
        fact("reason", "text", 'What was measured; "" where it did not end.'),
    ),
    fact(
        "probe_time",
        "",
        "What the probes take.",
        fact("samples", "count", "Times at which it was measured."),
        fact(
            "ksmd_ratio",
            "ratio",
            "Share of ksmd's CPU time that the probes took, in all samples; null where it is not "
            "known.",
            null=True,
        ),
        fact("last_ksmd_ratio", "ratio", "The same in the last sample.", null=True),
        fact("sampled_seconds", "seconds", "How long the samples were, together."),
        fact("ksmd_seconds", "seconds", "ksmd's CPU time in them.", null=True),
        fact("in_ksmd_seconds", "seconds", "What the probes took of it.", null=True),
        fact("elsewhere_seconds", "seconds", "What they took of all other threads.", null=True),
        fact("unknown", "text", 'Why it is not known; "" where it is.'),
    ),
    fact("passes", "count", "Full passes of ksmd that ended during the trace."),
    fact(
        "counters_at_start.<counter>",
        "count",
        f"The kernel's own, when the trace began, {_COUNTERS}.",
    ),
    fact("counters.<counter>", "count", "The kernel's own, at the end of the run, likewise."),
    fact(
        "counters_unread.<counter>",
        "",
        "A counter that could not be read at times.",
        fact("failures", "count", "How often."),
        fact("reason", "text", "The last reason."),
        fact("old", "flag", "Whether its last value is kept."),
        fact(
            "read_seconds",
            "seconds",
            "When that was read, into the run; null if never, or if it is not old.",
            null=True,
        ),
    ),
    fact(
        "reconstruction",
        "",
        "Of ksmd's state from events.",
        fact("complete", "flag", "Whether all of it is known."),
        fact("reason", "text", 'Why not; "" where it is.'),
    ),
    fact(
        "reconciliation",
        "",
        "Page gauges against the kernel's own; null where this run cannot know.",
        *(
            fact(
                gauge.name.lower(),
                "",
                "As in sysfs.",
                fact("reconstructed", "count", "From events.", null=True),
                fact("kernel", "count", "Its own figure.", null=True),
                fact("difference", "count", "Ours less the kernel's.", null=True),
            )
            for gauge in PAGE_GAUGES
        ),
    ),
    fact(
        "self_check",
        "",
        "Counts of events against what else counted them.",
        fact(
            "at_scan_stop",
            "count",
            "Readings that the probe took as a pass ended (full tier).",
        ),
        fact("at_scan_stop_differing", "count", "Those in which a gauge differed."),
        fact(
            "counts.<check>",
            "",
            "candidates, examined, skipped, merged, cow_faults, where this run can compare.",
            fact("events", "count", "Counted from events."),
            fact("against", "text", "What else counted them."),
            fact("counted", "count", "How many that says."),
            fact("difference", "count", "The first less the second."),
        ),
    ),
    fact(
        "analyzers.<plugin>",
        "object",
        "Each analyzer's answers: [below](#keys-of-analyzers). A plugin of another package has "
        "keys of its own.",
    ),
    fact("plugins_failed.<plugin>", "text", "Plugins that raised and were dropped: the reason."),
    ENGINE,
)
