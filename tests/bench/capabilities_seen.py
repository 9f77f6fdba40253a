"""What a document of `ksmtrace live` shows of the kernel, so that two can be compared."""

import json
import re
from typing import NamedTuple

_OF_A_PROCESS = ("cgroup", "kernel_merging_pages", "kernel_profit_bytes", "merged_pages")


class Seen(NamedTuple):
    """What was seen.

    Attributes:
        tier: "" where there is no document.
        facts: texts that are the same whenever as much is seen.
        complaints: texts that nobody has to read where nothing is amiss.
        refusal: why there is no document; "" where there is one.
    """

    tier: str
    facts: frozenset[str]
    complaints: frozenset[str]
    refusal: str


def seen_in(status, out, err):
    """What a run has shown: its exit status, document and lines on stderr."""
    lines = [re.sub(r"\d+", "N", line) for line in err.splitlines()]
    try:
        document = json.loads(out)
    except ValueError:
        return Seen("", frozenset(), frozenset(lines), f"status {status}: {' '.join(lines)}")
    complaints = {*lines, *(f"status {status}" for _ in range(status != 0))}
    complaints |= {
        f"{key} {name}" for key in ("silent", "counters_unread") for name in document[key]
    }
    complaints |= {f"plugin {name}" for name in document["plugins_failed"]}
    return Seen(document["tier"], frozenset(_facts(document)), frozenset(complaints), "")


def _facts(document):
    yield f"tier {document['tier']}"
    for kind, probe in document["probes"].items():
        if probe["exactness"] != "absent":
            note = re.sub(r"\d+", "N", probe["note"])
            # windows are by fentry where capabilities are dropped, and see as much
            via = probe["via"].replace("fentry and fexit", "kprobe and kretprobe")
            yield f"{kind}: {probe['exactness']} by {via} ({note})"
    for part in ("counters", "counters_at_start"):
        yield from (f"{part} {name}" for name, value in document[part].items() if value is not None)
    yield f"reconstruction {document['reconstruction']['reason'] or 'complete'}"
    yield from (f"check {name}" for name in document["self_check"]["counts"])
    measured = document["probe_time"]
    yield f"probe time {'known' if measured['ksmd_ratio'] is not None else measured['unknown']}"
    yield f"build id {'known' if document['kernel']['build_id'] else 'unknown'}"
    analyzers = document["analyzers"]
    for one in analyzers["snapshot"].get("processes") or []:
        yield f"merged before: of pid {one['pid']}"
    for one in analyzers["balance"].get("processes") or []:
        yield from (f"{one['comm']}: {key}" for key in _OF_A_PROCESS if one.get(key) is not None)


def losses(whole, seen):
    """What `seen` lacks of what `whole` shows, and says that `whole` does not."""
    if seen.refusal:
        return [seen.refusal]
    return sorted(whole.facts - seen.facts) + sorted(seen.complaints - whole.complaints)
