/* What ksmd's batches are gathered into: the header and the words of a chunk.
 * ksmtrace/sources/live/gathered/ holds the same; a test compares them. */
#pragma once

#define GATHERED 255     /* kind of a chunk's header: it never leaves the source */
#define CHUNK_WORDS 1024 /* at most, the header's eight among them */
#define HEADER_WORDS 8

/* The header is a struct ksm_event: `oldchecksum` items in the chunk, `checksum` bits of
 * gather_smart_scan, `mm` number of the batch (of an inventory, the mm at which ksmd is, 0 between
 * two passes), `address` number of the pass, `pfn` when the batch began, `rmap_item` pages_skipped,
 * `aux` pages_scanned. */
enum gather_flag {
    GATHER_FIRST = 0x01,
    GATHER_LAST = 0x02,
    GATHER_INVENTORY = 0x04,
    GATHER_LEAVING = 0x08,
    GATHER_RESET = 0x10,
    GATHER_FROM_HEAD = 0x20,
    GATHER_GONE = 0x40,
    GATHER_PASS_ENDED = 0x80,
};

enum gather_smart_scan {
    GATHER_SMART_SCAN_ON = 1,
    /* A tunable was written since ksmd began the batch: what was passed over has words of its own,
     * for user space to tell. */
    GATHER_TUNABLE_WRITTEN = 2,
};

enum gather_err {
    GATHER_TORN = 1,
    GATHER_CEILING = 2,
    /* A process left, and pages may have been examined of it that are not told. */
    GATHER_UNSURE = 3,
};

/* The low three bits of a word. */
enum gather_word {
    WORD_PLAIN = 0,
    WORD_UNSTABLE = 1,
    WORD_STABLE = 2,
    WORD_MM = 3,
    WORD_SKIPPED = 4,
    WORD_AT = 5,
    WORD_LONG = 6,
    WORD_END = 7,
};

#define WORD_COUNT_SHIFT 3
#define WORD_COUNT_MOST 0xffff
#define WORD_PAGE_SHIFT 19

/* Before an mm that nobody uses any more, and that ksmd has not freed as the batch ends. */
#define WORD_LINGERS (WORD_MM | 1 << WORD_COUNT_SHIFT)

static __always_inline u64 word_at(u64 address, u64 count)
{
    return WORD_AT | count << WORD_COUNT_SHIFT | PAGE_NUMBER(address) << WORD_PAGE_SHIFT;
}

/* In words of WORD_PLAIN and WORD_LONG. */
#define ITEM_CHECKSUM_SHIFT 32
#define ITEM_SKIPS_SHIFT 16
#define ITEM_AGE_SHIFT 8
