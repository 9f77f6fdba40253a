/* A candidate by ksm_next_page_pmd_entry (page-table walk, backported to 5.10 and 6.1): it returns
 * 1 once for each page found, skipped ones included, and tells its page. */

static __always_inline int on_pmd_entry(u64 pmd, u64 address, u64 next, u64 walk)
{
    struct scan_state *state = scan_state();
    if (!state)
        return 0;
    open_found(state);
    close_candidate(state);
    state->walk = walk;
    state->merging = 0;
    state->found_address = 0;
    u64 slot = read64(SYM_KSM_SCAN + KSM_SCAN_MM_SLOT);
    int first = read64(SYM_KSM_MM_HEAD + MM_SLOT_MM_NODE) == slot + MM_SLOT_MM_NODE;
    int fresh = read64(SYM_KSM_SCAN + KSM_SCAN_RMAP_LIST) == slot + MM_SLOT_RMAP_LIST;
    follow_pass(state, slot, first && fresh);
    return 0;
}

static __always_inline int on_pmd_entry_return(u64 result)
{
    struct scan_state *state = scan_state();
    if (!state || (int)result != 1)
        return 0;
    u64 found = read64(state->walk + MM_WALK_PRIVATE);
    state->found_page = read64(found + NEXT_PAGE_PAGE);
    state->found_address = read64(found + NEXT_PAGE_ADDR);
    state->found_ts = bpf_ktime_get_ns();
    state->found_cursor = read64(SYM_KSM_SCAN + KSM_SCAN_RMAP_LIST);
    state->found++;
    return 0;
}
