/* Full tier with a probe map: kprobes in the middle of the functions into which cmp_and_merge_page and replace_page were
 * inlined, at their entry points. Where their arguments are (CMP_AND_MERGE_PAGE_RMAP_ITEM) comes from the map. */

int on_cmp_and_merge_page(struct pt_regs *ctx)
{
    struct scan_state *state = scan_state();
    if (!state)
        return 0;
    u64 rmap_item = CMP_AND_MERGE_PAGE_RMAP_ITEM;
    /* Debug information can be wrong by an instruction. What it names must be what the cursor names, or nothing is
     * reported, and the comparison with ksm_next_page_pmd_entry shows what is missing. */
    if (rmap_item != read64(SYM_KSM_SCAN + KSM_SCAN_RMAP_LIST))
        return 0;
    u64 address = PAGE_ADDRESS(read64(rmap_item + RMAP_ITEM_ADDRESS));
    follow_pass(state, read64(SYM_KSM_SCAN + KSM_SCAN_MM_SLOT), 0);
    close_candidate(state);
    open_candidate(state, rmap_item, read64(rmap_item + RMAP_ITEM_MM), address, bpf_ktime_get_ns());
    return 0;
}

int on_replace_page(struct pt_regs *ctx)
{
    struct scan_state *state = scan_state();
    if (state)
        state->replacing = 1;
    return 0;
}
