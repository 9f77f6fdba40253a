/* Attempts to merge, and page table entries replaced. */

static __always_inline int on_try_to_merge_with_ksm_page(u64 rmap_item)
{
    struct scan_state *state = scan_state();
    if (state)
        state->merging = rmap_item;
    return 0;
}

static __always_inline int on_try_to_merge_with_ksm_page_return(u64 result)
{
    struct scan_state *state = scan_state();
    if (state)
        state->merging = 0;
    return 0;
}

/* What a page is: 0 where this kernel's struct page is not known. A tail has bit 0 of its word set;
 * the rest of the word is the head's address, or a mask that makes the head's of the tail's. A head
 * is known by the tail that follows it. */
static __always_inline u8 page_state(u64 page, u32 *references, u32 *mappings)
{
#ifdef WITH_PAGE_STATE
    if (!page)
        return 0;
    u8 state = PAGE_STATE;
    u64 head = page, word = read64(page + PAGE_COMPOUND_HEAD);
    if (word & 1)
        head = word - 1 <= page ? word - 1 : page & word;
    if ((word & 1) || (read64(page + STRUCT_PAGE_SIZE + PAGE_COMPOUND_HEAD) & 1))
        state |= COMPOUND;
    if (read64(head + PAGE_FLAGS) & 1) /* PG_locked */
        state |= LOCKED;
    *references = read32(head + PAGE_REFCOUNT);
    *mappings = read32(head + PAGE_MAPCOUNT) + 1;
    return state;
#else
    return 0;
#endif
}

static __always_inline int on_try_to_merge_one_page(u64 vma, u64 page, u64 kpage)
{
    struct scan_state *state = scan_state();
    if (!state)
        return 0;
    state->vma = vma;
    state->page = page;
    state->kpage = kpage;
    state->replacing = 0;
    /* A trampoline's argument has a type, and the verifier no arithmetic for it; what comes out of
     * a map is a number. */
    u64 number = *(volatile u64 *)&state->page;
    u32 references, mappings;
    state->was_compound = page_state(number, &references, &mappings) & COMPOUND;
    return 0;
}

/* replace_page is inlined into try_to_merge_one_page; it ran and succeeded exactly when that
 * returns 0 for a KSM page other than the page itself (a fork's copy of a KSM page returns 0 at
 * once). Called outside of try_to_merge_with_ksm_page, kpage is the zero page. */
static __always_inline int on_try_to_merge_one_page_return(u64 result)
{
    struct scan_state *state = scan_state();
    if (!state)
        return 0;
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = TRY_TO_MERGE_ONE_PAGE;
    event.err = (s16)(int)result;
    event.rmap_item = state->merging ? state->merging : state->rmap_item;
    event.mm = read64(state->vma + VMA_MM);
    event.address = PAGE_ADDRESS(read64(event.rmap_item + RMAP_ITEM_ADDRESS));
    event.pfn = page_to_pfn(state->page);
    event.aux = page_to_pfn(state->kpage);
    u8 zero_page = state->merging ? 0 : ZERO_PAGE;
    event.flags = (state->kpage ? HAS_KPAGE : 0) | (state->kpage == state->page ? SAME_PAGE : 0)
                  | zero_page;
    event.flags |= page_state(state->page, &event.oldchecksum, &event.checksum)
                   | (state->was_compound ? WAS_COMPOUND : 0);
    submit(&event);
#ifdef WITH_REPLACE_PAGE
    int replaced = !event.err && state->replacing;
#else
    int replaced = !event.err && state->kpage && state->kpage != state->page;
#endif
    if (!replaced)
        return 0;
    event.kind = REPLACE_PAGE;
    event.flags = zero_page;
    event.oldchecksum = 0;
    event.checksum = 0;
    submit(&event);
    return 0;
}
