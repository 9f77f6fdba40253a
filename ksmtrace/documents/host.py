"""Declares the documents about a host and an installation: doctor and plugins."""

from __future__ import annotations

from ksmtrace.documents.fact import PROBE, VERSION, fact
from ksmtrace.kernel.needs import WAYS
from ksmtrace.session import Exactness

_EXACTNESS = tuple(one.value for one in Exactness)

DOCTOR = (
    *VERSION,
    fact(
        "kernel",
        "",
        "The running kernel.",
        fact("release", "text", "`uname -r`."),
        fact("build_id", "text", "Of /sys/kernel/notes, in hexadecimal."),
        fact("machine", "text", "`uname -m`."),
        fact("page_size_bytes", "bytes", "Of a small page."),
        fact("rmap_item_size_bytes", "bytes", "Of a struct ksm_rmap_item."),
        fact("stable_node_size_bytes", "bytes", "Of a struct ksm_stable_node."),
    ),
    fact("distribution", "text", "Its name, from /etc/os-release."),
    fact("able", "flag", "Whether `live` would run."),
    fact("able_sysfs", "flag", "Whether `live --probes sysfs` would."),
    fact(
        "checks[]",
        "",
        "What tracing needs.",
        fact("name", "text", "What is looked at."),
        fact("passed", "flag", "Whether it is as it should be."),
        fact("detail", "text", "What was found."),
        fact("remedy", "text", 'What to do about it; "" for nothing.'),
    ),
    fact(
        "tier",
        "text",
        "The set of probes; null where nothing can be attached: then `events` is what `--probes "
        "sysfs` shows.",
        null=True,
    ),
    fact("probes.<event>", "", "As in the document of a run.", *PROBE),
    fact(
        "events.<event>",
        "",
        "The way that is chosen, and those that are not.",
        fact("way", "text", "The chosen one; null where there is none.", null=True),
        *PROBE,
        fact(
            "rejected[]",
            "",
            "Each better way, best first.",
            fact("way", "text", "Its name."),
            fact("exactness", "text", "What it would be worth.", one_of=_EXACTNESS),
            fact("reasons[]", "text", "Why it is out."),
        ),
    ),
    fact(
        "mechanisms.<mechanism>",
        "",
        "fentry, kprobe, raw_tracepoint and perf were tried.",
        fact("works", "flag", "Whether it can be used."),
        fact("reason", "text", 'Why it is out; "" where it works.'),
    ),
    fact("lockdown", "text", 'The kernel\'s lockdown; "" where it does not tell.'),
    fact(
        "missing_capabilities[]",
        "text",
        "Capabilities that this process lacks and without which BPF may be refused.",
    ),
    fact(
        "capabilities",
        "",
        "By way of tracing ([SECURITY.md](SECURITY.md#capabilities)).",
        *(
            fact(
                way,
                "",
                f"`live {WAYS[way].options}`.",
                fact("options", "text", "Of `live`."),
                fact("to_run[]", "text", "Capabilities that it is refused without."),
                fact("to_see_all[]", "text", "Those that it sees less without."),
                fact("later[]", "text", "Those that `--drop-capabilities` keeps."),
                fact("lacking[]", "text", "Of the first two, what this process has not."),
            )
            for way in WAYS
        ),
    ),
    fact("capability_purposes.<capability>", "text", "What is not seen, or not done, without it."),
    fact("kptr_restrict", "text", 'The sysctl; "" where it cannot be read.'),
    fact(
        "features[]",
        "",
        "What KSM can do.",
        fact("name", "text", "The feature."),
        fact("present", "flag", "Whether it can here; null: cannot be told.", null=True),
        fact("introduced", "text", "The upstream release that brought it."),
        fact("commit", "text", 'The upstream commit; "" where it is not known for sure.'),
        fact("gives", "text", "Its use."),
        fact("found_by", "text", "What it is found by."),
    ),
    fact(
        "improvements[]",
        "",
        "What would make tracing better.",
        fact("what", "text", "What to do."),
        fact("gains.<event>", "text", "How exactly it would then be seen.", one_of=_EXACTNESS),
        fact("commands[]", "text", "Commands for it."),
    ),
)

PLUGINS = (
    *VERSION,
    fact(
        "plugins[]",
        "",
        "What is installed, in the order in which it is called.",
        fact("name", "text", "As `-p` takes it."),
        fact(
            "role",
            "text",
            'Of a built-in one; "" for one of another package.',
            one_of=("analyzer", "sink", ""),
        ),
        fact("origin", "text", '"built-in", or the distribution and its version.'),
        fact("does", "text", "What it is for, or the object that an entry point names."),
    ),
    fact(
        "variants[]",
        "",
        "Of the engine.",
        fact("name", "text", "As `--variant` takes it."),
        fact("origin", "text", "Likewise."),
        fact("does", "text", "Likewise."),
    ),
)
