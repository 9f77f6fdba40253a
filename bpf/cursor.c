/* Every candidate that ksmd examines, and where its passes begin and end.
 *
 * cmp_and_merge_page is inlined into ksm_scan_thread on every stock kernel. While it runs,
 * ksm_scan.rmap_list == &candidate->rmap_list == candidate (rmap_list is the first field of the
 * rmap_item), and ksmd has just released the mm's mmap_lock: the tracepoint mmap_lock_released
 * fires between the choice of a candidate and the call. What the call decided is read from the
 * rmap_item once ksmd has moved on. */

static __always_inline void open_candidate(struct scan_state *state, u64 rmap_item, u64 mm,
                                           u64 address, u64 ts)
{
    name_mm(state, mm);
    state->open = 1;
    state->ts = ts;
    state->mm = mm;
    state->address = address;
    state->rmap_item = rmap_item;
    state->seqnr = state->pass;
    state->pfn = state->found_address == address ? page_to_pfn(state->found_page) : 0;
    state->oldchecksum = read32(rmap_item + RMAP_ITEM_OLDCHECKSUM);
    state->flags = tree_flags(read64(rmap_item + RMAP_ITEM_ADDRESS));
    state->found_address = 0;
}

/* Where there is no mmap_lock_released: ksm_next_page_pmd_entry gave the address, and the link at
 * which the cursor then was leads to the candidate once get_next_rmap_item has found or made it.
 * cmp_and_merge_page changes nothing on an rmap_item before it has taken it out of its tree, so
 * opened at that removal, or at the latest when ksmd has moved on, it still shows its state before.
 */
static __always_inline void open_found(struct scan_state *state)
{
#ifdef WITHOUT_MMAP_LOCK_TRACEPOINT
    if (!state->found_address)
        return;
    /* Before the cursor moves, get_next_rmap_item frees what lies between: the candidate is not
     * examined yet. */
    if (read64(SYM_KSM_SCAN + KSM_SCAN_RMAP_LIST) == state->found_cursor)
        return;
    u64 rmap_item = read64(state->found_cursor);
    if (PAGE_ADDRESS(read64(rmap_item + RMAP_ITEM_ADDRESS)) != state->found_address)
        return;
    open_candidate(state, rmap_item, read64(rmap_item + RMAP_ITEM_MM), state->found_address,
                   state->found_ts);
#endif
}

static __always_inline void close_candidate(struct scan_state *state)
{
    if (!state->open)
        return;
    state->open = 0;
    struct ksm_event event = {};
    event.ts = state->ts;
    event.kind = CMP_AND_MERGE_PAGE;
    event.flags = (u8)state->flags;
    event.oldchecksum = state->oldchecksum;
    event.checksum = state->oldchecksum;
    event.mm = state->mm;
    event.address = state->address;
    event.pfn = state->pfn;
    event.rmap_item = state->rmap_item;
    u64 word = read64(state->rmap_item + RMAP_ITEM_ADDRESS);
    if (read64(state->rmap_item + RMAP_ITEM_MM) != state->mm
        || PAGE_ADDRESS(word) != state->address) {
        event.flags |= FREED;
    } else {
        event.flags |= tree_flags(word) << 2;
        event.checksum = read32(state->rmap_item + RMAP_ITEM_OLDCHECKSUM);
        if (word & KERNEL_STABLE_FLAG)
            event.aux = read64(state->rmap_item + RMAP_ITEM_HEAD);
    }
    submit(&event);
}

/* The kernel's own counters, read by ksmd's own thread: nothing can change between the pass and the
 * reading. */
static __always_inline void submit_counters(struct scan_state *state)
{
    submit_sample(PAGES_SHARED, read64(SYM_KSM_PAGES_SHARED), AT_SCAN_STOP);
    submit_sample(PAGES_SHARING, read64(SYM_KSM_PAGES_SHARING), AT_SCAN_STOP);
    submit_sample(PAGES_UNSHARED, read64(SYM_KSM_PAGES_UNSHARED), AT_SCAN_STOP);
#ifdef WITH_PAGE_TABLE_WALK
    submit_sample(CANDIDATES_FOUND, state->found, AT_SCAN_STOP);
#endif
    submit_sample(EVENTS_LOST, events_lost(), AT_SCAN_STOP);
    submit_sample(RMAP_ITEMS, read64(SYM_KSM_RMAP_ITEMS), AT_SCAN_STOP | LAST_OF_SAMPLE);
}

/* Emits SCAN_STOP and SCAN_START where seqnr shows that the cursor passed the end of the list.
 * `at_start`: the cursor is before the first page of the first mm; needed only for the pass during
 * which we attached. */
static __always_inline void follow_pass(struct scan_state *state, u64 slot, int at_start)
{
    u64 seqnr = read64(SYM_KSM_SCAN + KSM_SCAN_SEQNR);
    int at_head = slot == SYM_KSM_MM_HEAD;
    if (!state->synced) {
        state->synced = 1 + (at_head || at_start);
        state->pass = seqnr;
    } else if (seqnr != state->pass) {
        close_candidate(state);
        /* Writing 2 to run sets seqnr to 0: a pass under way then did not end, it was cut off. */
        if (state->in_pass && seqnr == state->pass + 1) {
            submit_plain(SCAN_STOP, 0, state->pass);
            submit_counters(state);
        }
        state->in_pass = 0;
        state->synced = 2;
        state->pass = seqnr;
        state->named_mm = 0;
    }
    if (state->synced == 2 && !state->in_pass && !at_head) {
        state->in_pass = 1;
        submit_plain(SCAN_START, 0, seqnr);
    }
}

/* ksmd's own context switches: when it sleeps between two batches, the last candidate is done. */
static __always_inline int on_ksmd_switched_out(void)
{
    struct scan_state *state = scan_state();
    if (!state)
        return 0;
    u32 task_state = read32(bpf_get_current_task() + TASK_STATE);
    /* TASK_INTERRUPTIBLE: within a page it waits uninterruptibly or is preempted */
    if (!(task_state & 1))
        return 0;
    open_found(state);
    close_candidate(state);
    follow_pass(state, read64(SYM_KSM_SCAN + KSM_SCAN_MM_SLOT), 0);
    return 0;
}
