"""Analyzer by cgroup, systemd unit and guest: what each saves and costs, as metrics whose number is bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, EventKind
from ksmtrace.model.accounts import Account
from ksmtrace.model.group_accounts import GroupAccounts
from ksmtrace.model.groups import OTHER, Group
from ksmtrace.model.readings import ReadingTracker
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.shares import Shares, share_out
from ksmtrace.model.sheet import STABLE_NODE_BYTES, attribution_of
from ksmtrace.pipeline.options import MOST_GROUPS, RunOptions
from ksmtrace.session import Session

"""Groups with series of their own, unless `--groups` says another number."""

LABELS = ("cgroup", "unit", "vm")

Figures = dict[str, int | None]


class Plugin:
    """Groups are cgroups, and in them guests. `--groups` of them have series of their own, the rest is one group, "other".

    Who has is told at `ksmtrace.model.group_accounts.GroupAccounts`. Groups sum up to the figures of the whole run at any time.

    JSON, times in seconds, each None where this run cannot know it:
        groups: those with series, sorted, as {"cgroup", "unit", "vm"} ("" for none) and saved_bytes, metadata_bytes (now; as `balance` has
            them); merged_pages, examined_pages, wasted_pages, user_break_pages, kernel_break_pages, user_break_seconds,
            kernel_break_seconds, ksmd_cpu_seconds (since it has series).
        other: the same of all the rest, processes that have exited and events of no process included.
        most: `--groups`. evicted: groups that lost their series to others, or had no process any more.
    """

    def __init__(self) -> None:
        self._accounts = GroupAccounts(MOST_GROUPS)
        self._readings = ReadingTracker()
        self._reconstruction: Reconstruction | None = None
        self._found: dict[Group, Figures] | None = None

    @hookimpl
    def ksmtrace_session_start(self, options: RunOptions) -> None:
        """Take the number of groups."""
        self._accounts.most = options.groups

    @hookimpl
    def ksmtrace_batch(
        self, batch: EventBatch, reconstruction: Reconstruction, session: Session
    ) -> None:
        """Count by group; at a reading of the kernel's counters, see which groups to follow."""
        self._reconstruction, self._found = reconstruction, None
        self._accounts.apply(batch, reconstruction.processes)
        for reading in self._readings.apply(batch):
            self._accounts.read(reading)
            self._accounts.decide(reading.ns, reconstruction, lambda: self._weights(session))

    @hookimpl
    def ksmtrace_analysis(self, session: Session) -> dict[str, object]:
        """The figures of the class docstring."""
        found = self._now(session)
        return {
            "groups": [
                {"cgroup": group.cgroup, "unit": group.unit, "vm": group.vm, **_shown(figures)}
                for group, figures in sorted(found.items())
                if group is not OTHER
            ],
            "other": _shown(found[OTHER]),
            "most": self._accounts.most,
            "evicted": self._accounts.evicted,
        }

    @hookimpl
    def ksmtrace_metrics(self, session: Session) -> Iterable[Metric]:
        """Families of what this run can see, with a series for each group followed, and one for the others."""
        found = self._now(session)
        families = [
            *(_gauge(found, key, help_text) for key, help_text in _GAUGES),
            *(_counter(found, name, by, help_text) for name, by, help_text in _COUNTERS),
        ]
        shown = [family for family in families if family.samples]
        yield from shown
        if shown:
            yield GaugeMetricFamily(
                "ksmtrace_groups_tracked",
                'Groups that have series of their own. At --groups: smaller ones are in "other", raise it to see them.',
                len(self._accounts.tracked),
            )
            yield CounterMetricFamily(
                "ksmtrace_groups_evicted",
                'Groups whose series ended, and went on in "other". Rising steadily: groups come and go, or '
                "more of about one size than --groups, raise it.",
                self._accounts.evicted,
            )

    def _weights(self, session: Session) -> dict[int, int]:
        """Bytes saved and taken, by number of the process."""
        shares = self._shares(session)
        if shares is None:
            return {}
        weight = shares.saved_bytes + _metadata(shares, session)
        return dict(zip(shares.number.tolist(), weight.tolist(), strict=True))

    def _shares(self, session: Session) -> Shares | None:
        now = self._reconstruction
        if now is None or attribution_of(session, now) is None:
            return None
        return share_out(now, session.kernel.page_size_bytes, STABLE_NODE_BYTES)

    def _now(self, session: Session) -> dict[Group, Figures]:
        """Everything, by group, made once for all that is asked between two batches; times in nanoseconds."""
        if self._found is None:
            self._found = self._figures(session)
        return self._found

    def _figures(self, session: Session) -> dict[Group, Figures]:
        accounts = self._accounts
        timed = accounts.read_ns > 0 and not session.only_pids
        found = {
            group: _counted(one.account, session, timed=timed)
            for group, one in accounts.tracked.items()
        }
        found[OTHER] = _counted(accounts.other(), session, timed=timed)
        shares = self._shares(session)
        if shares is not None:
            owners = [accounts.tracked_group(n) or OTHER for n in shares.number.tolist()]
            columns = {"saved_bytes": shares.saved_bytes}
            if session.sees(EventKind.CMP_AND_MERGE_PAGE):
                columns["metadata_bytes"] = _metadata(shares, session)
            for name, values in columns.items():
                sums: Counter[Group] = Counter()
                for owner, value in zip(owners, values.tolist(), strict=True):
                    sums[owner] += value
                for group, figures in found.items():
                    figures[name] = sums[group]
        return found


def _metadata(shares: Shares, session: Session) -> Any:  # noqa: ANN401 - int64 array, as in Shares
    return shares.rmap_items * session.kernel.rmap_item_size_bytes + shares.node_bytes


def _counted(account: Account, session: Session, *, timed: bool) -> Figures:
    looks = session.sees(EventKind.CMP_AND_MERGE_PAGE)
    faults = session.sees(EventKind.COW_FAULT)
    apart = session.sees_who_broke
    by_user, by_kernel = account.break_ns.tolist()
    merges = session.sees(EventKind.STABLE_APPEND)
    return {
        "saved_bytes": None,
        "metadata_bytes": None,
        "merged_pages": account.count("joined") if merges else None,
        "examined_pages": account.examined if looks else None,
        "wasted_pages": account.wasted if looks else None,
        "user_break_pages": account.count("user_break") if faults else None,
        "kernel_break_pages": account.count("kernel_break") if apart else None,
        "user_break_ns": by_user if faults and session.timed else None,
        "kernel_break_ns": by_kernel if apart and session.timed else None,
        "ksmd_cpu_ns": account.ksmd_ns if looks and timed else None,
    }


def _shown(figures: Figures) -> dict[str, float | None]:
    shown: dict[str, float | None] = {}
    for name, value in figures.items():
        if name.endswith("_ns"):
            shown[f"{name[:-3]}_seconds"] = None if value is None else value / 1e9
        else:
            shown[name] = value
    return shown


def _gauge(found: dict[Group, Figures], key: str, help_text: str) -> Metric:
    family = GaugeMetricFamily(f"ksmtrace_group_{key}", help_text, labels=LABELS)
    for group, figures in found.items():
        value = figures[key]
        if value is not None:
            family.add_metric([group.cgroup, group.unit, group.vm], value)
    return family


def _counter(found: dict[Group, Figures], name: str, by: dict[str, str], help_text: str) -> Metric:
    """A family with a series for each group and each entry of `by`: label to key."""
    labels = LABELS if "" in by else (*LABELS, "by")
    family = CounterMetricFamily(f"ksmtrace_group_{name}", help_text, labels=labels)
    for group, figures in found.items():
        shown = _shown(figures)
        for label, key in by.items():
            value = shown[key]
            if value is not None:
                own = [group.cgroup, group.unit, group.vm]
                family.add_metric([*own, label] if label else own, value)
    return family


_GAUGES = (
    (
        "saved_bytes",
        "Memory that KSM saves for a cgroup's pages: of a page that n share, each has (n - 1) / n. "
        "Below ksmtrace_group_metadata_bytes for long: take this cgroup's memory out of KSM.",
    ),
    (
        "metadata_bytes",
        "KSM's own bookkeeping for a cgroup's pages. Large where little is saved: "
        "have the cgroup advise less memory (MemoryKSM=no, -machine mem-merge=off).",
    ),
)
_COUNTERS: tuple[tuple[str, dict[str, str], str], ...] = (
    (
        "merged_pages",
        {"": "merged_pages"},
        "Pages of a cgroup that joined a stable node. High while ksmtrace_group_saved_bytes stands still: "
        "they are written to and merged again, take them out of KSM.",
    ),
    (
        "examined_pages",
        {"": "examined_pages"},
        "Pages of a cgroup that ksmd examined. The largest rate is where scanning goes: advise less memory there first.",
    ),
    (
        "wasted_pages",
        {"": "wasted_pages"},
        "Examinations of a cgroup's pages that came to nothing: changed, not to be merged, or gone. "
        "Near ksmtrace_group_examined_pages_total: take the cgroup out of KSM; causes are in ksmtrace_wasted_pages_total.",
    ),
    (
        "cow_faults",
        {"user": "user_break_pages", "kernel": "kernel_break_pages"},
        "KSM pages of a cgroup that were copied: because it wrote (user), or by the kernel's own breaks (kernel). "
        "user near ksmtrace_group_merged_pages_total: KSM merges what this cgroup is about to write.",
    ),
    (
        "cow_seconds",
        {"user": "user_break_seconds", "kernel": "kernel_break_seconds"},
        "Time in copying KSM pages of a cgroup. The rate of user is the part of a core by which its writes are delayed: "
        "take what must answer fast out of KSM.",
    ),
    (
        "ksmd_cpu_seconds",
        {"": "ksmd_cpu_seconds"},
        "CPU time of ksmd for a cgroup's pages, by what it did with them. "
        "The rate is the part of a core that the cgroup costs: weigh it against ksmtrace_group_saved_bytes.",
    ),
)
