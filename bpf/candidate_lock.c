/* A candidate by the tracepoint mmap_lock_released (5.11): it fires in ksmd between the choice of a
 * candidate and cmp_and_merge_page, with the cursor of ksm_scan on the candidate. */

static __always_inline int on_mmap_lock_released(u64 mm)
{
    if (!in_ksmd())
        return 0;
    struct scan_state *state = scan_state();
    if (!state)
        return 0;
    struct scan scan;
    read_scan(&scan);
    u64 rmap_item = scan_rmap_list(&scan);
    /* The body releases the lock too, with the cursor where it was, once for each page of the
     * unstable tree that it looks at: by far the most frequent call. */
    if (state->open && state->rmap_item == rmap_item && scan_seqnr(&scan) == state->pass)
        return 0;
    u64 slot = scan_slot(&scan);
    follow_pass(state, &scan, 0);
    if (slot == SYM_KSM_MM_HEAD || read64(slot + MM_SLOT_MM) != mm)
        return 0;
    u64 address = scan_address(&scan) - PAGE_BYTES;
    struct item item;
    read_item(&item, rmap_item);
    if (PAGE_ADDRESS(item_address(&item)) != address || item_mm(&item) != mm)
        return 0;
    /* Closed early, as one is that was freed: the rest of its body releases the lock too. */
    if (state->rmap_item == rmap_item && state->address == address && state->mm == mm
        && state->seqnr == state->pass)
        return 0;
    close_candidate(state);
    open_candidate(state, rmap_item, &item, bpf_ktime_get_ns());
    return 0;
}
