/* The record of one event, and the numbers in it. ksmtrace/events/ holds the same; a test compares
 * them. */
#pragma once

struct ksm_event {
    u64 ts;  /* CLOCK_MONOTONIC, nanoseconds */
    u16 seq; /* per CPU, wraps; a gap is a loss */
    u16 cpu;
    s16 err; /* 0 or -errno */
    u8 kind;
    u8 flags;
    u32 oldchecksum;
    u32 checksum;
    u64 mm;
    u64 address;
    u64 pfn;
    u64 rmap_item;
    u64 aux;
};

enum ksm_event_kind {
    CMP_AND_MERGE_PAGE = 1,
    TRY_TO_MERGE_ONE_PAGE = 2,
    REPLACE_PAGE = 3,
    BREAK_COW = 4,
    STABLE_APPEND = 5,
    REMOVE_RMAP_ITEM = 6,
    REMOVE_STABLE_NODE = 7,
    SCAN_START = 8,
    SCAN_STOP = 9,
    MM_ENTER = 10,
    MM_EXIT = 11,
    PROCESS = 12,
    SAMPLE = 13,
    LOST = 14,
    SKIPPED = 15,
    COW_FAULT = 16,
    SNAPSHOT = 17,
    TUNABLE = 18,
    PROCESS_TEXT = 19,
    PROCESS_SAMPLE = 20,
    TOTAL = 21,
    PROBE_TIME = 22,
    STREAM_END = 23,
};

enum ksm_event_flag {
    STABLE_BEFORE = 0x01,
    UNSTABLE_BEFORE = 0x02,
    STABLE_AFTER = 0x04,
    UNSTABLE_AFTER = 0x08,
    FREED = 0x10,
    HAS_KPAGE = 0x01,
    SAME_PAGE = 0x02,
    ZERO_PAGE = 0x04,
    LOCKED = 0x08,
    COMPOUND = 0x10,
    WAS_COMPOUND = 0x20,
    PAGE_STATE = 0x40,
    NEW_NODE = 0x01,
    LAST_OF_SAMPLE = 0x01,
    AT_SCAN_STOP = 0x02,
    BEHIND = 0x04,
    BY_KERNEL = 0x01,
    CUT = 0x01,
};

enum ksm_gauge {
    PAGES_SHARED = 1,
    PAGES_SHARING = 2,
    PAGES_UNSHARED = 3,
    RMAP_ITEMS = 12,
    CANDIDATES_FOUND = 15,
    EVENTS_LOST = 16,
};
