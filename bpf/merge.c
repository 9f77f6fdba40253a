/* Full tier: attempts to merge, page table entries replaced, and merges undone. */

int on_try_to_merge_with_ksm_page(struct pt_regs *ctx)
{
    struct scan_state *state = scan_state();
    if (state)
        state->merging = PT_REGS_PARM1(ctx);
    return 0;
}

int on_try_to_merge_with_ksm_page_return(struct pt_regs *ctx)
{
    struct scan_state *state = scan_state();
    if (state)
        state->merging = 0;
    return 0;
}

int on_try_to_merge_one_page(struct pt_regs *ctx)
{
    struct scan_state *state = scan_state();
    if (!state)
        return 0;
    state->vma = PT_REGS_PARM1(ctx);
    state->page = PT_REGS_PARM2(ctx);
    state->kpage = PT_REGS_PARM3(ctx);
    state->replacing = 0;
    return 0;
}

/* replace_page is inlined into try_to_merge_one_page; it ran and succeeded exactly when that returns 0 for a KSM
 * page other than the page itself (a fork's copy of a KSM page returns 0 at once). Called outside of
 * try_to_merge_with_ksm_page, kpage is the zero page. */
int on_try_to_merge_one_page_return(struct pt_regs *ctx)
{
    struct scan_state *state = scan_state();
    if (!state)
        return 0;
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = TRY_TO_MERGE_ONE_PAGE;
    event.err = (s16)(int)PT_REGS_RC(ctx);
    event.rmap_item = state->merging ? state->merging : state->rmap_item;
    event.mm = read64(state->vma + VMA_MM);
    event.address = PAGE_ADDRESS(read64(event.rmap_item + RMAP_ITEM_ADDRESS));
    event.pfn = page_to_pfn(state->page);
    event.aux = page_to_pfn(state->kpage);
    u8 zero_page = state->merging ? 0 : ZERO_PAGE;
    event.flags = (state->kpage ? HAS_KPAGE : 0) | (state->kpage == state->page ? SAME_PAGE : 0) | zero_page;
    submit(&event);
#ifdef WITH_INLINED_REPLACE_PAGE
    int replaced = !event.err && state->replacing;
#else
    int replaced = !event.err && state->kpage && state->kpage != state->page;
#endif
    if (!replaced)
        return 0;
    event.kind = REPLACE_PAGE;
    event.flags = zero_page;
    submit(&event);
    return 0;
}

int on_break_cow(struct pt_regs *ctx)
{
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = BREAK_COW;
    event.rmap_item = PT_REGS_PARM1(ctx);
    event.mm = read64(event.rmap_item + RMAP_ITEM_MM);
    event.address = PAGE_ADDRESS(read64(event.rmap_item + RMAP_ITEM_ADDRESS));
    submit(&event);
    return 0;
}
