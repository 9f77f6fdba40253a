"""The writable files of /sys/kernel/mm/ksm: defaults, and what the kernel refuses."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from ksmtrace.engine.ksm.stable_tree import remove_all_stable_nodes
from ksmtrace.engine.ksm.unmerge import unmerge_and_remove_all_rmap_items

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm

DEFAULTS = {
    "pages_to_scan": 100,
    "sleep_millisecs": 20,
    "merge_across_nodes": 1,
    "use_zero_pages": 0,
    "max_page_sharing": 256,
    "stable_node_chains_prune_millisecs": 2000,
    "smart_scan": 1,
    "advisor_mode": 0,
    "advisor_max_cpu": 70,
    "advisor_min_pages_to_scan": 500,
    "advisor_max_pages_to_scan": 30000,
    "advisor_target_scan_time": 200,
}
"""The kernel's defaults; `advisor_mode` is 0 for "none" and 1 for "scan-time"."""

RUN_STOP, RUN_MERGE, RUN_UNMERGE = 0, 1, 2

_UINT_MAX = 2**32 - 1
_ULONG_MAX = 2**64 - 1
_INT_MAX = 2**31 - 1


def store_tunable(ksm: Ksm, name: str, value: int | str) -> None:
    """Write `value` to the file `name` (the *_store functions, each version's own).

    Raises:
        OSError: the kernel refuses: ENOENT (this version has no such file), EINVAL, ERANGE, or
            EBUSY (pages are merged).
    """
    store = _STORES.get(name)
    if store is None or name in ksm.variant.absent_tunables:
        raise _refused(errno.ENOENT, name, value)
    try:
        store(ksm, name, str(value).strip())
    except OSError as error:
        raise _refused(error.errno or errno.EINVAL, name, value) from None


def run_store(ksm: Ksm, value: int) -> None:
    """Write `value` to `run`: 2 unmerges everything, unless it was the value already.

    run_store, all versions.

    Raises:
        OSError: EINVAL.
    """
    if value not in (RUN_STOP, RUN_MERGE, RUN_UNMERGE):
        raise _refused(errno.EINVAL, "run", value)
    if ksm.run == value:
        return
    ksm.run = value
    if value == RUN_UNMERGE:
        unmerge_and_remove_all_rmap_items(ksm)


def _refused(number: int, name: str, value: int | str) -> OSError:
    return OSError(number, f"{errno.errorcode[number]} on writing {value} to {name}")


def _unsigned(text: str, largest: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise OSError(errno.EINVAL, text) from None
    if not 0 <= value <= largest:
        raise OSError(errno.EINVAL, text)
    return value


def _store_uint(ksm: Ksm, name: str, text: str) -> None:
    ksm.tunables[name] = _unsigned(text, _UINT_MAX)


def _store_ulong(ksm: Ksm, name: str, text: str) -> None:
    ksm.tunables[name] = _unsigned(text, _ULONG_MAX)


def _store_pages_to_scan(ksm: Ksm, name: str, text: str) -> None:
    if ksm.tunables["advisor_mode"]:
        raise OSError(errno.EINVAL, text)
    _store_uint(ksm, name, text)


def _store_bool(ksm: Ksm, name: str, text: str) -> None:
    # kstrtobool looks at the first letter, of "on" and "off" at the second too.
    if text[:1] in tuple("1yYtT") or text[:2].lower() == "on":
        ksm.tunables[name] = 1
    elif text[:1] in tuple("0nNfF") or text[:2].lower() == "of":
        ksm.tunables[name] = 0
    else:
        raise OSError(errno.EINVAL, text)


def _store_merge_across_nodes(ksm: Ksm, name: str, text: str) -> None:
    _store_while_empty(ksm, name, _unsigned(text, 1))


def _store_max_page_sharing(ksm: Ksm, name: str, text: str) -> None:
    try:
        value = int(text)
    except ValueError:
        raise OSError(errno.EINVAL, text) from None
    if abs(value) > _INT_MAX:
        raise OSError(errno.ERANGE, text)
    if value < 2:
        raise OSError(errno.EINVAL, text)
    _store_while_empty(ksm, name, value)


def _store_while_empty(ksm: Ksm, name: str, value: int) -> None:
    # Stable nodes that nobody maps go even when others make the write fail.
    if ksm.tunables[name] == value:
        return
    if ksm.counters.pages_shared or not remove_all_stable_nodes(ksm):
        raise OSError(errno.EBUSY, name)
    ksm.tunables[name] = value


def _store_advisor_mode(ksm: Ksm, name: str, text: str) -> None:
    if text not in ("none", "scan-time"):
        raise OSError(errno.EINVAL, text)
    mode = int(text == "scan-time")
    if mode == ksm.tunables[name]:
        return
    ksm.tunables[name] = mode
    if mode:
        ksm.advisor.reset()
        ksm.tunables["pages_to_scan"] = ksm.tunables["advisor_min_pages_to_scan"]
    else:
        ksm.tunables["pages_to_scan"] = DEFAULTS["pages_to_scan"]


def _store_target_scan_time(ksm: Ksm, name: str, text: str) -> None:
    if _unsigned(text, _ULONG_MAX) < 1:
        raise OSError(errno.EINVAL, text)
    _store_ulong(ksm, name, text)


_STORES: dict[str, Callable[[Ksm, str, str], None]] = {
    "pages_to_scan": _store_pages_to_scan,
    "sleep_millisecs": _store_uint,
    "merge_across_nodes": _store_merge_across_nodes,
    "use_zero_pages": _store_bool,
    "max_page_sharing": _store_max_page_sharing,
    "stable_node_chains_prune_millisecs": _store_uint,
    "smart_scan": _store_bool,
    "advisor_mode": _store_advisor_mode,
    "advisor_max_cpu": _store_ulong,
    "advisor_min_pages_to_scan": _store_ulong,
    "advisor_max_pages_to_scan": _store_ulong,
    "advisor_target_scan_time": _store_target_scan_time,
}
