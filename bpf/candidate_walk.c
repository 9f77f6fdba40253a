/* A candidate by ksm_next_page_pmd_entry (page-table walk, backported to 5.10 and 6.1): it returns
 * 1 once for each page found, skipped ones included, and tells its page. */

static __always_inline int on_pmd_entry(u64 pmd, u64 address, u64 next, u64 walk)
{
    struct scan_state *state = scan_state();
    if (state)
        state->walk = walk;
    return 0;
}

struct next_page {
    u64 words[(MORE(NEXT_PAGE_PAGE, NEXT_PAGE_ADDR) + 8) / 8];
};

/* The first page of the first mm has been found, and the cursor is before it. */
static __always_inline int at_first_page(struct scan *scan)
{
    u64 slot = scan_slot(scan);
    return read64(SYM_KSM_MM_HEAD + MM_SLOT_MM_NODE) == slot + MM_SLOT_MM_NODE
           && scan_rmap_list(scan) == slot + MM_SLOT_RMAP_LIST;
}

/* `walk` is 0 where a return does not tell the arguments: then it is what the entry told. */
static __always_inline int on_pmd_entry_return(u64 result, u64 pmd, u64 address, u64 next, u64 walk)
{
    if ((int)result != 1)
        return 0;
    struct scan_state *state = scan_state();
    if (!state)
        return 0;
    struct scan scan;
    read_scan(&scan);
    finish_candidate(state, &scan);
    state->merging = 0;
    follow_pass(state, &scan, !state->synced && at_first_page(&scan));
    struct next_page found;
    u64 where = read64((walk ? walk : state->walk) + MM_WALK_PRIVATE);
    read_bytes(&found, sizeof(found), where);
    state->found_page = found.words[NEXT_PAGE_PAGE / 8];
    state->found_address = found.words[NEXT_PAGE_ADDR / 8];
    state->found_ts = bpf_ktime_get_ns();
    state->found_cursor = scan_rmap_list(&scan);
    state->found++;
    return 0;
}

/* The search of the stable tree removes what is stale, be it the candidate's own stable node: that
 * takes the candidate out of the tree without remove_rmap_item_from_tree. */
static __always_inline int on_node_leaving(void)
{
    struct scan_state *state = scan_state();
    if (state && in_ksmd())
        open_found(state);
    return 0;
}
