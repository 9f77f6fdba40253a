/* A candidate where cmp_and_merge_page begins: as a function of its own, or, by a probe map, in the
 * middle of the one into which it was inlined. */

static __always_inline int on_cmp_and_merge_page(u64 rmap_item)
{
    struct scan_state *state = scan_state();
    if (!state)
        return 0;
    /* Debug information can be wrong by an instruction. What it names must be what the cursor
     * names, or nothing is reported, and the comparison with ksm_next_page_pmd_entry shows what is
     * missing. */
    if (rmap_item != read64(SYM_KSM_SCAN + KSM_SCAN_RMAP_LIST))
        return 0;
    u64 address = PAGE_ADDRESS(read64(rmap_item + RMAP_ITEM_ADDRESS));
    follow_pass(state, read64(SYM_KSM_SCAN + KSM_SCAN_MM_SLOT), 0);
    close_candidate(state);
    open_candidate(state, rmap_item, read64(rmap_item + RMAP_ITEM_MM), address, bpf_ktime_get_ns());
    return 0;
}
