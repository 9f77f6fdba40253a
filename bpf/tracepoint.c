/* Events by the ksm:* tracepoints of 6.4 and later, for kernels where nothing better may attach.
 * TRACEPOINT_<KIND> is defined for each kind of event that is to be taken from ksm_merge_one_page
 * and ksm_merge_with_ksm_page.
 *
 * They carry no address and no page except the KSM page, and never fire for an ordinary removal;
 * what they imply is emitted as the functions' own events. try_to_merge_two_pages fires twice:
 * first without a KSM page for the page just scanned, which becomes the KSM page, then for the page
 * found in the unstable tree. */

struct first_half {
    u64 rmap_item;
    u64 mm;
    u64 pfn;
    u64 named_mm;
};
BPF_ARRAY(first_halves, struct first_half, 1);

static __always_inline void submit_chosen(u8 kind, u8 flags, s16 err, u64 rmap_item, u64 mm,
                                          u64 pfn, u64 aux)
{
    int chosen = 0;
#ifdef TRACEPOINT_TRY_TO_MERGE_ONE_PAGE
    chosen |= kind == TRY_TO_MERGE_ONE_PAGE;
#endif
#ifdef TRACEPOINT_REPLACE_PAGE
    chosen |= kind == REPLACE_PAGE;
#endif
#ifdef TRACEPOINT_BREAK_COW
    chosen |= kind == BREAK_COW;
#endif
#ifdef TRACEPOINT_STABLE_APPEND
    chosen |= kind == STABLE_APPEND;
#endif
    if (chosen)
        submit_item(kind, flags, err, rmap_item, mm, pfn, aux);
}

static __always_inline void name_once(struct first_half *half, u64 mm)
{
    if (mm != half->named_mm) {
        half->named_mm = mm;
        submit_process(mm);
    }
}

static __always_inline int on_start_scan(u64 seqnr)
{
    submit_plain(SCAN_START, 0, (u32)seqnr);
    return 0;
}

static __always_inline int on_stop_scan(u64 seqnr)
{
    submit_plain(SCAN_STOP, 0, (u32)seqnr);
    return 0;
}

static __always_inline int on_merge_one_page(u64 pfn, u64 rmap_item, u64 mm, u64 result)
{
    s16 err = (s16)(int)result;
    int zero = 0;
    struct first_half *half = first_halves.lookup(&zero);
    if (half)
        name_once(half, mm);
    submit_chosen(TRY_TO_MERGE_ONE_PAGE, HAS_KPAGE | ZERO_PAGE, err, rmap_item, mm, 0, pfn);
    if (!err)
        submit_chosen(REPLACE_PAGE, ZERO_PAGE, 0, rmap_item, mm, 0, pfn);
    return 0;
}

static __always_inline int on_merge_with_ksm_page(u64 kpage, u64 pfn, u64 rmap_item, u64 mm,
                                                  u64 result)
{
    s16 err = (s16)(int)result;
    int zero = 0;
    struct first_half *half = first_halves.lookup(&zero);
    if (!half)
        return 0;
    name_once(half, mm);
    if (!kpage) {
        submit_chosen(TRY_TO_MERGE_ONE_PAGE, 0, err, rmap_item, mm, pfn, 0);
        half->rmap_item = err ? 0 : rmap_item;
        half->mm = mm;
        half->pfn = pfn;
        return 0;
    }
    submit_chosen(TRY_TO_MERGE_ONE_PAGE, HAS_KPAGE, err, rmap_item, mm, 0, pfn);
    u64 paired = half->pfn == pfn ? half->rmap_item : 0;
    half->rmap_item = 0;
    if (err) {
        if (paired)
            submit_chosen(BREAK_COW, 0, 0, paired, half->mm, 0, 0);
        return 0;
    }
    submit_chosen(REPLACE_PAGE, 0, 0, rmap_item, mm, 0, pfn);
    submit_chosen(STABLE_APPEND, paired ? NEW_NODE : 0, 0, rmap_item, mm, pfn, 0);
    if (paired)
        submit_chosen(STABLE_APPEND, 0, 0, paired, half->mm, pfn, 0);
    return 0;
}

static __always_inline int on_remove_ksm_page(u64 pfn)
{
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = REMOVE_STABLE_NODE;
    event.pfn = pfn;
    submit(&event);
    return 0;
}
