"""In which threads the programs of hooks run, and what the kernel's way into them costs."""

from __future__ import annotations

from ksmtrace.sources.live.probe_spec import Hook, Place

SHARED = ("kthread_should_stop", "__msecs_to_jiffies", "prepare_to_wait_event")
"""Functions that ksmd calls once a batch, and other threads too.

Their programs do nothing elsewhere, and their runs in ksmd are counted.
"""

_EVERYBODYS = frozenset(
    {
        *("do_wp_page", "break_ksm", "sysfs_kf_write"),
        *("__ksm_enter", "__ksm_exit", "ksm_enter", "ksm_exit", "uprobe_clear_state"),
    }
)
"""Functions and tracepoints that processes pass; ksmd seldom or never does."""

_INSTRUCTIONS = {
    ("kprobe", False): 344,
    ("kprobe", True): 583,
    ("fentry", False): 129,
    ("fentry", True): 185,
    ("raw_tracepoint", False): 100,
    ("perf", False): 500,
}
"""By mechanism, and whether it is a return: from the kernel's function to the program and back.

Counted on 6.1 and 6.12 (x86-64, kprobes on ftrace) with empty programs; the last two are estimates.
"""

_LOCK_INSTRUCTIONS = 343
"""mmap_lock:* have the path of the mm's cgroup put together at each hit, on 6.1 and 6.12."""


def runs_in_ksmd(hook: Hook) -> bool:
    """Whether the hook's runs are ksmd's, none counted apart.

    mmap_lock_released is taken whole for ksmd's: others pass it too, so its share is at most that.
    """
    return hook.target not in _EVERYBODYS and hook.target not in SHARED


def way_instructions(hook: Hook, mechanism: str) -> int:
    """Instructions of the kernel's way into a hook's program, without the program's own."""
    if hook.place is Place.TRACEPOINT and hook.target.startswith("mmap_lock_"):
        return _LOCK_INSTRUCTIONS
    return _INSTRUCTIONS[mechanism, hook.place is Place.RETURN]
