/* A candidate where cmp_and_merge_page begins: as a function of its own, or, by a probe map, in the
 * middle of the one into which it was inlined. */

static __always_inline int on_cmp_and_merge_page(u64 rmap_item)
{
    struct scan_state *state = scan_state();
    if (!state)
        return 0;
    struct scan scan;
    read_scan(&scan);
    /* Debug information can be wrong by an instruction. What it names must be what the cursor
     * names, or nothing is reported, and the comparison with ksm_next_page_pmd_entry shows what is
     * missing. */
    if (rmap_item != scan_rmap_list(&scan))
        return 0;
    struct item item;
    read_item(&item, rmap_item);
    follow_pass(state, &scan, 0);
    close_candidate(state);
    open_candidate(state, rmap_item, &item, bpf_ktime_get_ns());
    return 0;
}
