/* ksmd's cursor, read at once. */

#define SCAN_BYTES                                                                                 \
    (MORE(MORE(KSM_SCAN_MM_SLOT, KSM_SCAN_ADDRESS), MORE(KSM_SCAN_RMAP_LIST, KSM_SCAN_SEQNR)) + 8)

struct scan {
    u64 words[SCAN_BYTES / 8];
};

static __always_inline void read_scan(struct scan *scan)
{
    read_bytes(scan, sizeof(*scan), SYM_KSM_SCAN);
}

static __always_inline u64 scan_slot(struct scan *scan)
{
    return scan->words[KSM_SCAN_MM_SLOT / 8];
}

static __always_inline u64 scan_address(struct scan *scan)
{
    return scan->words[KSM_SCAN_ADDRESS / 8];
}

static __always_inline u64 scan_rmap_list(struct scan *scan)
{
    return scan->words[KSM_SCAN_RMAP_LIST / 8];
}

static __always_inline u64 scan_seqnr(struct scan *scan)
{
    return scan->words[KSM_SCAN_SEQNR / 8];
}
