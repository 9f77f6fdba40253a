"""Analyzer of cgroups, units and guests: what each saves and costs, in a bounded number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ksmtrace import hookimpl
from ksmtrace.events.kinds import Gauge
from ksmtrace.events.readings import Reading
from ksmtrace.figures import known
from ksmtrace.model.accounts import Account
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.shares import Attribution, Shares, attribution_of, shares_of
from ksmtrace.pipeline.options import MOST_GROUPS, RunOptions
from ksmtrace.plugins.groups.across import Across, shared_across
from ksmtrace.plugins.groups.figures import FIGURES, ROW
from ksmtrace.plugins.groups.group import OTHER, Group
from ksmtrace.plugins.groups.group_accounts import GroupAccounts
from ksmtrace.plugins.groups.metrics import metrics
from ksmtrace.session import Session

if TYPE_CHECKING:
    from prometheus_client.core import Metric

Figures = dict[str, float | None]
"""Figures of one group by JSON key; None where they are not known."""


class Plugin:
    """Groups are cgroups, and in them guests.

    `--groups` of them have series of their own, the rest is one group, "other": which ones is at
    `ksmtrace.plugins.groups.group_accounts.GroupAccounts`. At any time groups sum up to the figures
    of the whole run.

    JSON: `FIGURES`.
    """

    def __init__(self) -> None:
        self._accounts = GroupAccounts(MOST_GROUPS)
        self._reconstruction: Reconstruction | None = None
        self._found: dict[Group, Figures] | None = None
        self._sharing: int | None = None

    @hookimpl
    def ksmtrace_session_start(self, options: RunOptions) -> None:
        """Take the number of groups."""
        self._accounts.most = options.groups

    @hookimpl
    def ksmtrace_batch(self, reconstruction: Reconstruction) -> None:
        """Count by group."""
        self._reconstruction, self._found = reconstruction, None
        self._accounts.apply(reconstruction)

    @hookimpl
    def ksmtrace_reading(
        self, reading: Reading, reconstruction: Reconstruction, session: Session
    ) -> None:
        """Share out ksmd's time, and see which groups to follow."""
        self._found = None
        self._sharing = reading.values.get(Gauge.PAGES_SHARING, self._sharing)
        self._accounts.read(reading)
        self._accounts.decide(reading.ns, reconstruction, lambda: self._weights(session))

    @hookimpl
    def ksmtrace_analysis(self, session: Session) -> dict[str, Any]:
        """The figures of `FIGURES`."""
        found = self._now(session)
        figures = {
            **self._own(session),
            "groups": [
                {"cgroup": group.cgroup, "unit": group.unit, "vm": group.vm, **row}
                for group, row in sorted(found.items())
                if group is not OTHER
            ],
            "other": found[OTHER],
            "most": self._accounts.most,
        }
        return known(FIGURES, session, figures)

    @hookimpl
    def ksmtrace_metrics(self, session: Session) -> Iterable[Metric]:
        """Families of what this run can see: a series for each group followed, and the others'."""
        accounts = self._accounts
        return metrics(self._now(session), len(accounts.tracked), self._own(session))

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
        return shares_of(now)

    def _own(self, session: Session) -> dict[str, int | None]:
        """Figures of all groups together."""
        now, across = self._reconstruction, Across(None, None)
        if now is not None and self._shares(session) is not None:
            across = now.once(shared_across)
        return {
            "shared_within_pages": across.within,
            "shared_across_pages": across.across,
            "evicted": self._accounts.evicted,
        }

    def _now(self, session: Session) -> dict[Group, Figures]:
        """Everything, by group, made once for all that is asked between two batches."""
        if self._found is None:
            self._found = self._figures(session)
        return self._found

    def _figures(self, session: Session) -> dict[Group, Figures]:
        accounts = self._accounts
        found = {
            group: self._counted(one.account, session) for group, one in accounts.tracked.items()
        }
        found[OTHER] = self._counted(accounts.other(), session)
        shares = self._shares(session)
        if shares is not None:
            owners = [accounts.tracked_group(n) or OTHER for n in shares.number.tolist()]
            columns = {
                "saved_bytes": shares.saved_bytes,
                "metadata_bytes": _metadata(shares, session),
            }
            for name, values in columns.items():
                sums: Counter[Group] = Counter()
                for owner, value in zip(owners, values.tolist(), strict=True):
                    sums[owner] += value
                if name == "saved_bytes":
                    sums[OTHER] += self._of_nobody(int(values.sum()), session)
                for group, figures in found.items():
                    figures[name] = sums[group]
        return {group: known(ROW, session, figures) for group, figures in found.items()}

    def _of_nobody(self, known_bytes: int, session: Session) -> int:
        """Bytes that the kernel counts as saved, and that no process is known for."""
        now = self._reconstruction
        if now is None or self._sharing is None or session.only_pids:
            return 0
        if attribution_of(session, now) is Attribution.EXACT:
            return 0
        return max(0, self._sharing * session.kernel.page_size_bytes - known_bytes)

    def _counted(self, account: Account, session: Session) -> Figures:
        """The figures of a group except for those of now, as if every event were seen."""
        by_user, by_kernel = (account.break_ns / 1e9).tolist()
        timed = self._accounts.ksmd.wall_ns > 0 and not session.only_pids
        return {
            "saved_bytes": None,
            "metadata_bytes": None,
            "merged_pages": account.count("joined"),
            "examined_pages": account.examined,
            "wasted_pages": account.wasted,
            "user_break_pages": account.count("user_break"),
            "kernel_break_pages": account.count("kernel_break"),
            "user_break_seconds": by_user if session.timed and self._accounts.timed else None,
            "kernel_break_seconds": by_kernel if session.timed else None,
            "ksmd_cpu_seconds": account.ksmd_ns / 1e9 if timed else None,
        }


def _metadata(shares: Shares, session: Session) -> Any:  # noqa: ANN401 - int64 array, as in Shares
    return shares.rmap_items * session.kernel.rmap_item_size_bytes + shares.node_bytes
