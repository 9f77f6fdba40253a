/* rmap_items that leave the trees, and candidates that smart scan passes over. */

/* ksmd takes the rmap_item at its cursor out of its tree: smart scan passes over it, or
 * cmp_and_merge_page has begun, which changes nothing before. */
static __always_inline void on_removal_at_cursor(struct scan_state *state, u64 rmap_item,
                                                 struct item *item, u64 now)
{
#ifdef CANDIDATES_BY_WALK
    if (PAGE_ADDRESS(item_address(item)) != state->found_address)
        return;
    int skipped = passed_over(&state->skipped);
    if (!skipped)
        open_candidate(state, rmap_item, item, state->found_ts);
#else
    /* ksmd has not yet let go of the lock. */
    int skipped = !(state->open && state->rmap_item == rmap_item);
#endif
    if (!skipped)
        return;
    state->found_address = 0;
    struct ksm_event event = {};
    event.ts = now;
    event.kind = SKIPPED;
    event.rmap_item = rmap_item;
    event.mm = item_mm(item);
    event.address = PAGE_ADDRESS(item_address(item));
    submit(&event);
}

/* Called for the candidate itself, for a page being merged, and for an item about to be freed:
 * because its page is gone (ksmd finds it on its way), its mm has exited, or run=2 was written
 * (another task, ksmd being locked out). */
static __always_inline int on_remove_rmap_item_from_tree(u64 rmap_item)
{
    struct scan_state *state = scan_state();
    if (!state)
        return 0;
    u64 now = bpf_ktime_get_ns();
    struct scan scan;
    struct item item;
    read_scan(&scan);
    read_item(&item, rmap_item);
    int freed = 1, by_ksmd = in_ksmd();
    if (by_ksmd) {
        int at_cursor = rmap_item == scan_rmap_list(&scan);
        freed = !state->merging && !at_cursor;
        if (at_cursor && !state->merging)
            on_removal_at_cursor(state, rmap_item, &item, now);
    }
    if (freed)
        finish_candidate(state, &scan);
    if (freed && by_ksmd && state->synced)
        follow_pass(state, &scan, 0); /* before its first page, a pass may free what is gone */
    u64 word = item_address(&item);
    u8 flags = tree_flags(word) | (freed ? FREED : 0);
    if (!flags)
        return 0; /* in no tree, and stays: nothing happens */
    struct ksm_event event = {};
    event.ts = now;
    event.kind = REMOVE_RMAP_ITEM;
    event.flags = flags;
    event.rmap_item = rmap_item;
    event.mm = item_mm(&item);
    event.address = PAGE_ADDRESS(word);
    if (word & KERNEL_STABLE_FLAG)
        event.aux = item_head(&item);
    submit(&event);
    return 0;
}
