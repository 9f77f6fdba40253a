"""The variants by name: kernels that differ, relatives of KSM, and what packages bring."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from ksmtrace.engine.installed_variants import InstalledVariants
from ksmtrace.engine.ksm.chains import chain_best_dup, chain_candidate_or_any
from ksmtrace.engine.ksm.ksmd import KsmScanner
from ksmtrace.engine.ksm.state import Ksm
from ksmtrace.engine.ksm.tunables import DEFAULTS
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.machine.bulk_checksum import JHASH2, XXHASH, one_by_one
from ksmtrace.engine.relatives.pksm import PksmScanner
from ksmtrace.engine.relatives.pksm_item import sampled_hash
from ksmtrace.engine.relatives.pksm_lists import TUNABLES as PKSM_TUNABLES
from ksmtrace.engine.relatives.relative_scanner import check_unsigned
from ksmtrace.engine.relatives.zero_page import ZeroPageScanner
from ksmtrace.engine.trace import visibility
from ksmtrace.engine.uksm.scanner import UksmScanner
from ksmtrace.engine.uksm.tunables import DEFAULTS as UKSM_DEFAULTS
from ksmtrace.engine.uksm.tunables import check_tunable


def _ksm(variant: Variant, nodes: int, watcher: Watcher) -> KsmScanner:
    return KsmScanner(Ksm(variant, nodes=nodes, watcher=watcher))


def _pksm(variant: Variant, _nodes: int, watcher: Watcher) -> PksmScanner:
    return PksmScanner(variant, watcher)


def _zero_page(variant: Variant, _nodes: int, watcher: Watcher) -> ZeroPageScanner:
    return ZeroPageScanner(variant, watcher)


def _uksm(variant: Variant, _nodes: int, watcher: Watcher) -> UksmScanner:
    return UksmScanner(variant, watcher)


_TUNABLES_AFTER_6_1 = frozenset(
    {
        *("smart_scan", "advisor_mode", "advisor_max_cpu", "advisor_min_pages_to_scan"),
        *("advisor_max_pages_to_scan", "advisor_target_scan_time"),
    }
)
_TUNABLES_AFTER_4_4 = _TUNABLES_AFTER_6_1 | {
    *("use_zero_pages", "max_page_sharing", "stable_node_chains_prune_millisecs"),
}
_COUNTERS_AFTER_6_1 = frozenset(
    {"pages_scanned", "pages_skipped", "ksm_zero_pages", "general_profit"}
)
_COUNTERS_AFTER_5_10 = _COUNTERS_AFTER_6_1 | {"cow_ksm"}
_COUNTERS_AFTER_4_4 = _COUNTERS_AFTER_5_10 | {"stable_node_chains", "stable_node_dups"}

_KSM_4_4 = Variant(
    name="ksm-4.4",
    since=(2, 6),
    make=_ksm,
    checksum=JHASH2,
    chains=False,
    chain=chain_candidate_or_any,
    checks_before_stable_tree=False,
    memory_merge=False,
    counts_zero_pages=False,
    absent_tunables=frozenset(_TUNABLES_AFTER_4_4),
    absent_counters=frozenset(_COUNTERS_AFTER_4_4),
    split_needs_sole_reference=False,
    split_unmaps_zero_pages=False,
    huge_cow_copies_all=True,
    huge_zero_write_allocates=True,
    reuses_huge_parts=False,
    discard_frees_page_tables=False,
    reuses_pinned=True,
    cow_fault_result=8,
    visibility=visibility.KSM,
)
_KSM_5_10 = replace(
    _KSM_4_4,
    name="ksm-5.10",
    since=(4, 13),  # chains; the checksum's algorithm came with 5.0, see `variant_of`
    checksum=XXHASH,
    chains=True,
    absent_tunables=_TUNABLES_AFTER_6_1,
    absent_counters=_COUNTERS_AFTER_5_10,
    split_needs_sole_reference=True,
    huge_cow_copies_all=False,
    huge_zero_write_allocates=False,
    reuses_pinned=False,
)
_KSM_6_1 = replace(
    _KSM_5_10,
    name="ksm-6.1",
    since=(5, 19),  # cow_ksm, 94bfe85bde18 "mm/vmstat: add events for ksm cow"
    absent_counters=_COUNTERS_AFTER_6_1,
)
_KSM_6_12 = replace(
    _KSM_6_1,
    name="ksm-6.12",
    since=(6, 11),  # checks_before_stable_tree: no decision shows what came with 6.6, 6.8, 6.12
    chain=chain_best_dup,
    checks_before_stable_tree=True,
    memory_merge=True,
    counts_zero_pages=True,
    absent_tunables=frozenset(),
    absent_counters=frozenset(),
    split_unmaps_zero_pages=True,
    cow_fault_result=0,
)
_KSM_6_18 = replace(
    _KSM_6_12,
    name="ksm-6.18",
    since=(6, 13),  # huge_zero_write_allocates; the others came with 6.14 and 6.15
    huge_zero_write_allocates=True,
    reuses_huge_parts=True,
    discard_frees_page_tables=True,
)
_KSM_7_2 = replace(
    _KSM_6_18,
    name="ksm-7.2",
    since=(6, 19),  # 5d4939fc2258 "ksm: perform a range-walk in break_ksm", which no counter shows
)

_RELATIVE = replace(
    _KSM_4_4,
    memory_merge=True,  # which asks for nothing: all memory is scanned
    counts_zero_pages=True,
    absent_tunables=frozenset(DEFAULTS) - {"pages_to_scan", "sleep_millisecs"},
)
_PKSM = replace(
    _RELATIVE,
    name="pksm",
    make=_pksm,
    checksum=one_by_one(sampled_hash(seed=0)),
    own_tunables=PKSM_TUNABLES,
    check_own_tunable=check_unsigned,
    visibility=visibility.PKSM,
)
_ZERO_PAGE = replace(_RELATIVE, name="zero-page", make=_zero_page, visibility=visibility.ZERO_PAGE)
_UKSM = replace(
    _KSM_6_1,
    name="uksm",
    make=_uksm,
    memory_merge=True,  # as above
    counts_zero_pages=True,
    absent_tunables=frozenset(DEFAULTS) - {"sleep_millisecs"},
    own_tunables=UKSM_DEFAULTS,
    check_own_tunable=check_tunable,
    visibility=visibility.UKSM,
)

KERNELS = {
    variant.name: variant
    for variant in (_KSM_4_4, _KSM_5_10, _KSM_6_1, _KSM_6_12, _KSM_6_18, _KSM_7_2)
}
"""The versions of KSM by name, oldest first."""

BUILT_IN = {**KERNELS, **{one.name: one for one in (_PKSM, _ZERO_PAGE, _UKSM)}}
"""Those that need no entry point, by name."""

VARIANTS = InstalledVariants(BUILT_IN)
"""Every variant by name: those above, then those of installed packages."""

NEWEST = next(reversed(KERNELS))
"""The name of the newest version of KSM."""

_XXHASH_SINCE = (5, 0)


def variant_of(release: str, tunables: Collection[str] = ()) -> Variant:
    """The variant that works as a kernel does.

    An engine's run has the variant's name as its release; what a package brings is no kernel's. Of
    a kernel it is the last variant whose
    `Variant.since` is no later; the oldest for a release that does not begin with a version. A
    version that came in several steps is split where a decision of ksmd changed: 6.11 to 6.12 for
    the order of cmp_and_merge_page, although zero pages were counted from 6.6 on. Two things are
    told apart within one variant: files of sysfs, and the checksum of 4.13 to 4.20, which is
    jhash2.

    Args:
        release: as `uname -r` prints it.
        tunables: the files of /sys/kernel/mm/ksm that the kernel has, where that is known. They
            tell what a distribution's kernel has earlier than upstream: a kernel with
            max_page_sharing has chains, whatever its number, and `absent_tunables` is what is not
            among them.
    """
    if release in BUILT_IN:
        return BUILT_IN[release]
    number = _number(release)
    known = [one for one in KERNELS.values() if one.chains or "max_page_sharing" not in tunables]
    variant = [known[0], *(one for one in known if one.since <= number)][-1]
    if variant.checksum is XXHASH and number < _XXHASH_SINCE:
        variant = replace(variant, checksum=JHASH2)
    if tunables:
        variant = replace(variant, absent_tunables=frozenset(DEFAULTS).difference(tunables))
    return variant


def is_no_ksm(release: str) -> bool:
    """Whether a session's release names a variant that is no version of KSM, installed or not.

    A kernel's release begins with its number.
    """
    return release not in KERNELS and not release[:1].isdecimal()


def _number(release: str) -> tuple[int, int]:
    found = re.match(r"(\d+)(?:\.(\d+))?", release, re.ASCII)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)
