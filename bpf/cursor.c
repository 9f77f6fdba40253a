/* Every candidate that ksmd examines, and where its passes begin and end.
 *
 * cmp_and_merge_page is inlined into ksm_scan_thread on every stock kernel. While it runs,
 * ksm_scan.rmap_list == &candidate->rmap_list == candidate (rmap_list is the first field of the
 * rmap_item). What the call decided is read from the rmap_item once ksmd has moved on. */

static __always_inline void open_candidate(struct scan_state *state, u64 rmap_item,
                                           struct item *item, u64 ts)
{
    u64 mm = item_mm(item), address = PAGE_ADDRESS(item_address(item));
    name_mm(state, mm);
    state->open = 1;
    state->ts = ts;
    state->mm = mm;
    state->address = address;
    state->rmap_item = rmap_item;
    state->seqnr = state->pass;
    state->pfn = state->found_address == address ? page_to_pfn(state, state->found_page) : 0;
    state->oldchecksum = item_oldchecksum(item);
    state->flags = tree_flags(item_address(item));
    state->found_address = 0;
}

/* `item`: the candidate as it is now. */
static __always_inline void submit_candidate(struct scan_state *state, struct item *item)
{
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
    u64 word = item_address(item);
    if (item_mm(item) != state->mm || PAGE_ADDRESS(word) != state->address) {
        event.flags |= FREED;
    } else {
        event.flags |= tree_flags(word) << 2;
        event.checksum = item_oldchecksum(item);
        if (word & KERNEL_STABLE_FLAG)
            event.aux = item_head(item);
    }
    submit(&event);
}

static __always_inline void close_candidate(struct scan_state *state)
{
    if (!state->open)
        return;
    struct item item;
    read_item(&item, state->rmap_item);
    submit_candidate(state, &item);
}

/* ksmd has moved on: the candidate is closed. By the page-table walk alone
 * (CANDIDATES_BY_WALK), one that was found is open only if it was taken out of its tree: the link at
 * which the cursor then was leads to it. cmp_and_merge_page changes nothing on an rmap_item that
 * it leaves where it is, so that what is read now is its state before and after. */
static __always_inline void finish_candidate(struct scan_state *state, struct scan *scan)
{
    struct item item;
    u64 rmap_item = state->rmap_item;
#ifdef CANDIDATES_BY_WALK
    if (state->found_address) {
        /* Where the cursor did not move, there was no memory for an rmap_item. */
        if (scan_rmap_list(scan) == state->found_cursor && scan_seqnr(scan) == state->pass)
            return;
        rmap_item = read64(state->found_cursor);
        read_item(&item, rmap_item);
        if (PAGE_ADDRESS(item_address(&item)) != state->found_address)
            return;
        open_candidate(state, rmap_item, &item, state->found_ts);
        submit_candidate(state, &item);
        return;
    }
#endif
    close_candidate(state);
}

/* Opens the candidate that the page-table walk has found, before what ksmd is about to do changes
 * its rmap_item. */
static __always_inline void open_found(struct scan_state *state)
{
#ifdef CANDIDATES_BY_WALK
    struct scan scan;
    struct item item;
    read_scan(&scan);
    /* The cursor is not on it yet. */
    if (!state->found_address || scan_rmap_list(&scan) == state->found_cursor)
        return;
    u64 rmap_item = scan_rmap_list(&scan);
    read_item(&item, rmap_item);
    if (PAGE_ADDRESS(item_address(&item)) == state->found_address)
        open_candidate(state, rmap_item, &item, state->found_ts);
#endif
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
static __always_inline void follow_pass(struct scan_state *state, struct scan *scan, int at_start)
{
    u64 seqnr = scan_seqnr(scan);
    int at_head = scan_slot(scan) == SYM_KSM_MM_HEAD;
    if (!state->synced) {
        state->synced = 1 + (at_head || at_start);
        state->pass = seqnr;
        passed_over(&state->skipped);
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
    struct scan scan;
    read_scan(&scan);
    finish_candidate(state, &scan);
    follow_pass(state, &scan, 0);
    return 0;
}
