/* rmap_items that leave the trees, and candidates that smart scan passes over. */

/* Called for the candidate itself, for a page being merged, and for an item about to be freed:
 * because its page is gone (ksmd finds it on its way), its mm has exited, or run=2 was written
 * (another task, ksmd being locked out). */
static __always_inline int on_remove_rmap_item_from_tree(u64 rmap_item)
{
    struct scan_state *state = scan_state();
    if (!state)
        return 0;
    int freed = 1;
    u64 word = read64(rmap_item + RMAP_ITEM_ADDRESS);
    if (in_ksmd()) {
        open_found(state);
        int at_cursor = rmap_item == read64(SYM_KSM_SCAN + KSM_SCAN_RMAP_LIST);
        freed = !state->merging && !at_cursor;
#ifndef WITHOUT_MMAP_LOCK_TRACEPOINT
        /* At the cursor, and ksmd has not yet let go of the lock: smart scan passes over it. */
        if (at_cursor && !state->merging && !(state->open && state->rmap_item == rmap_item))
            submit_item(SKIPPED, 0, 0, rmap_item, read64(rmap_item + RMAP_ITEM_MM), 0, 0);
#endif
    }
    if (freed)
        close_candidate(state);
    u8 flags = tree_flags(word) | (freed ? FREED : 0);
    if (!flags)
        return 0; /* in no tree, and stays: nothing happens */
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = REMOVE_RMAP_ITEM;
    event.flags = flags;
    event.rmap_item = rmap_item;
    event.mm = read64(rmap_item + RMAP_ITEM_MM);
    event.address = PAGE_ADDRESS(word);
    if (word & KERNEL_STABLE_FLAG)
        event.aux = read64(rmap_item + RMAP_ITEM_HEAD);
    submit(&event);
    return 0;
}
