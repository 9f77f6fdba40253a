"""Kinds of event, one for each function of mm/ksm.c that is traced, and the kinds of reading.

The numbers are an ABI: `bpf/ksm_event.h` has the same ones, and captures hold them. Never reuse
one.
"""

from enum import IntEnum, IntFlag


class EventKind(IntEnum):
    """Kind of an event, and which columns of the record it fills besides `ts`, `seq` and `cpu`.

    `mm`, `rmap_item` and `stable_node` are the kernel addresses of those structs, used as keys;
    `address` is the page-aligned user virtual address; `pfn` is 0 where this kernel cannot tell it.
    """

    CMP_AND_MERGE_PAGE = 1
    """One page examined. mm, address, rmap_item, pfn, oldchecksum (before), checksum (after),
    flags *_BEFORE and *_AFTER, aux = stable_node when STABLE_AFTER. Emitted when ksmd has moved on,
    so it follows the records of what the call did; ts is the time at which the call began."""
    TRY_TO_MERGE_ONE_PAGE = 2
    """One attempt. mm, address, rmap_item, pfn = the page, err = return value (0 or -errno), aux =
    pfn of kpage, flags HAS_KPAGE, SAME_PAGE, ZERO_PAGE. With flag PAGE_STATE, which older captures
    have of successes too, what the page was as an attempt failed: oldchecksum = its reference
    count, ksmd's own included, checksum = page table entries that map it, flags LOCKED (by somebody
    else: ksmd has let go of it) and COMPOUND (still part of a huge page), for which the counts are
    of the whole huge page and not to be relied on; WAS_COMPOUND says that it was part of one as the
    attempt began."""
    REPLACE_PAGE = 3
    """A page table entry now maps kpage. mm, address, rmap_item, pfn = old page, aux = pfn of
    kpage, flag ZERO_PAGE."""
    BREAK_COW = 4
    """ksmd undoes the first half of a failed merge. mm, address, rmap_item."""
    STABLE_APPEND = 5
    """rmap_item joins a stable_node. mm, address, rmap_item, aux = stable_node (0: unknown, then
    the node is known by pfn), pfn = kpfn, flag NEW_NODE when the node had no rmap_item before."""
    REMOVE_RMAP_ITEM = 6
    """rmap_item leaves its tree. mm, address, rmap_item, flags *_BEFORE, FREED when the item itself
    goes, aux = stable_node when STABLE_BEFORE."""
    REMOVE_STABLE_NODE = 7
    """The page of a stable_node is gone and all its rmap_items leave it. aux = stable_node (0:
    unknown), pfn = kpfn."""
    SCAN_START = 8
    """A pass begins. aux = seqnr."""
    SCAN_STOP = 9
    """A pass ended. aux = seqnr of that pass."""
    MM_ENTER = 10
    """mm registered with ksmd (__ksm_enter). mm."""
    MM_EXIT = 11
    """mm left (__ksm_exit). mm."""
    PROCESS = 12
    """Name of the process that owns mm: mm, aux = pid (tgid), the 16 bytes of pfn and rmap_item are
    its comm. Emitted when ksmd comes to the mm and when the mm registers."""
    SAMPLE = 13
    """One counter read from the kernel. address = `Gauge` number, aux = value as 64-bit two's
    complement, err = 0, or -errno where it could not be read: aux is then what was read last, 0
    if nothing was. All SAMPLEs of one reading follow each other; the last has flag LAST_OF_SAMPLE,
    and BEHIND where events that are older than the reading follow it: the reader had not kept up.
    FAULT_PROBES stands alone, without the flag, where a window begins or ends."""
    LOST = 14
    """Events were dropped before this point. aux = how many, address = `LossCause` number, pfn =
    the number of the kind that they are of, where only one is concerned."""
    SKIPPED = 15
    """Smart scan passed over the page (should_skip_rmap_item, 6.7): it is in neither tree until it
    is examined again. mm, address, rmap_item."""
    COW_FAULT = 16
    """A write to a KSM page made a private copy (do_wp_page). mm, address, pfn = the KSM page,
    err = return value (VM_FAULT_* bits), aux = nanoseconds that the fault spent in do_wp_page, flag
    BY_KERNEL when the kernel broke the sharing itself (break_ksm: run=2, MADV_UNMERGEABLE, prctl, a
    failed merge) and no write of the process did. ZERO_PAGE, of the engine's zero-page alone, when
    the page was a zero page that its daemon had placed."""
    SNAPSHOT = 17
    """A page table entry that mapped a KSM page before the trace began. mm (0 where not known, as
    in older captures), address, pfn, aux = pid (tgid). Read from pagemap when a tracer joins late,
    not seen by a probe."""
    TUNABLE = 18
    """A file of /sys/kernel/mm/ksm was written (sysfs_kf_write). err = what the write returned (0
    or -errno). It is emitted when the write returns, so what run=2 did comes before it; ts is the
    time at which the write began. The 24 bytes of address, pfn and rmap_item are the file's name;
    the 8 of oldchecksum and checksum and then the 8 of aux are the text, flag CUT when that was
    longer. `ksmtrace.events.tunable` reads them."""
    PROCESS_TEXT = 19
    """What a process is: its cgroup, or the guest that it runs, read from /proc/<pid> when ksmd
    first comes to it. mm, address = `ProcessText` << 32 | offset of this piece, the 24 bytes of
    pfn, rmap_item and aux are the piece; the last one ends with a NUL byte."""
    PROCESS_SAMPLE = 20
    """One line of /proc/<pid>/ksm_stat. mm, address = `ProcessGauge` number, aux = value as 64-bit
    two's complement, pfn = pid."""
    TOTAL = 21
    """How often events of one kind have happened, with one result, since they are counted and not
    sent. address = number of that kind, err = the result (0 or -errno), aux = how often, flag
    ZERO_PAGE as in the events. Sent before each reading of the counters."""
    PROBE_TIME = 22
    """What the tracer's programs took of ksmd in a sample. address = nanoseconds of the sample, pfn
    = ksmd's CPU time in it, aux = what the programs took of that, oldchecksum = how often they ran
    in ksmd, rmap_item and checksum = the same of other threads. err = why it is not known, or 0."""
    STREAM_END = 23
    """The events end here, before the run: the probes took too much. Counts go on (TOTAL). aux =
    share of ksmd's CPU time that they took, in millionths, address = the share allowed, err = why
    nothing is counted, or 0."""


RARE = frozenset(
    {
        *(EventKind.TRY_TO_MERGE_ONE_PAGE, EventKind.REPLACE_PAGE, EventKind.BREAK_COW),
        *(EventKind.STABLE_APPEND, EventKind.REMOVE_STABLE_NODE),
        *(EventKind.MM_ENTER, EventKind.MM_EXIT),
    }
)
"""Kinds so rare that to count them costs ksmd nothing that can be measured."""


class ProcessText(IntEnum):
    """What the text of a PROCESS_TEXT is.

    CGROUP is the path of the process's cgroup, to which its memory is charged. VM is the guest's
    name, from the command line of the program that runs it (`ksmtrace.kernel.guests`).
    """

    CGROUP = 1
    VM = 2


class ProcessGauge(IntEnum):
    """Lines of /proc/<pid>/ksm_stat, by the kernel's names.

    Before 6.4, ksm_merging_pages has a file of its own.
    """

    KSM_RMAP_ITEMS = 1
    KSM_ZERO_PAGES = 2
    KSM_MERGING_PAGES = 3
    KSM_PROCESS_PROFIT = 4


class Flag(IntFlag):
    """Bits of the record's `flags` column; `EventKind` has which kind uses which."""

    STABLE_BEFORE = 0x01
    UNSTABLE_BEFORE = 0x02
    STABLE_AFTER = 0x04
    UNSTABLE_AFTER = 0x08
    FREED = 0x10
    HAS_KPAGE = 0x01
    SAME_PAGE = 0x02
    ZERO_PAGE = 0x04
    LOCKED = 0x08
    COMPOUND = 0x10
    WAS_COMPOUND = 0x20
    PAGE_STATE = 0x40
    NEW_NODE = 0x01
    LAST_OF_SAMPLE = 0x01
    AT_SCAN_STOP = 0x02
    BEHIND = 0x04
    BY_KERNEL = 0x01
    CUT = 0x01


class LossCause(IntEnum):
    """Why events were dropped.

    ring: it was full. recursion: the kernel passed a program over, as it or another one was
    running on that CPU. missed: it passed over a kprobe that hit within another one, or a kretprobe
    that had no instance left. Of these two, so many events are missing at most: a program may have
    had nothing to tell. gathering: what was gathered of a batch of ksmd lacks pages that it
    examined; where the kernel does not count them, there may be more.
    """

    RING = 0
    RECURSION = 1
    MISSED = 2
    GATHERING = 3


class Gauge(IntEnum):
    """Counters that a SAMPLE can carry: the files of /sys/kernel/mm/ksm, and some others.

    Names are the kernel's, in lower case; `rmap_items` is mm/ksm.c's ksm_rmap_items, `cow_ksm` a
    line of /proc/vmstat, `ksmd_cpu_ns` the first field of /proc/<ksmd>/schedstat,
    `candidates_found` how often ksm_next_page_pmd_entry returned 1 since the probes were attached,
    `events_lost` how many events found the ring full. `pages_to_scan` is a tunable, but one that
    the advisor changes by itself. `fault_probes` is 1 from the time at which the probes on
    do_wp_page were all attached, and 0 from that at which the first of them was let go of, in a run
    that attaches them by windows. `ftrace_enabled` and `kprobes_enabled` are the kernel's switches
    of probes (kernel.ftrace_enabled, /sys/kernel/debug/kprobes/enabled), read where functions are
    probed: while one is 0, probes are attached and do not fire.
    """

    PAGES_SHARED = 1
    PAGES_SHARING = 2
    PAGES_UNSHARED = 3
    PAGES_VOLATILE = 4
    FULL_SCANS = 5
    STABLE_NODE_CHAINS = 6
    STABLE_NODE_DUPS = 7
    PAGES_SCANNED = 8
    PAGES_SKIPPED = 9
    KSM_ZERO_PAGES = 10
    GENERAL_PROFIT = 11
    RMAP_ITEMS = 12
    COW_KSM = 13
    KSMD_CPU_NS = 14
    CANDIDATES_FOUND = 15
    EVENTS_LOST = 16
    PAGES_TO_SCAN = 17
    FAULT_PROBES = 18
    FTRACE_ENABLED = 19
    KPROBES_ENABLED = 20


PAGE_GAUGES = (
    Gauge.PAGES_SHARED,
    Gauge.PAGES_SHARING,
    Gauge.PAGES_UNSHARED,
    Gauge.PAGES_VOLATILE,
)
"""The gauges that count each rmap_item once: their sum is RMAP_ITEMS."""
