/* The tracepoint tier: the ksm:* tracepoints of 6.4 and later, for kernels where nothing better may attach.
 *
 * They carry no address and no page but the KSM page, and never fire for an ordinary removal; what they imply is
 * emitted as the functions' own events. try_to_merge_two_pages fires twice: first without a KSM page for the page
 * just scanned, which becomes the KSM page, then for the page found in the unstable tree. */

struct first_half {
    u64 rmap_item;
    u64 mm;
    u64 pfn;
    u64 named_mm;
};
BPF_ARRAY(first_halves, struct first_half, 1);

int on_start_scan(struct bpf_raw_tracepoint_args *ctx)
{
    submit_plain(SCAN_START, 0, (u32)ctx->args[0]);
    return 0;
}

int on_stop_scan(struct bpf_raw_tracepoint_args *ctx)
{
    submit_plain(SCAN_STOP, 0, (u32)ctx->args[0]);
    return 0;
}

int on_enter(struct bpf_raw_tracepoint_args *ctx)
{
    submit_plain(MM_ENTER, ctx->args[0], 0);
    submit_process(ctx->args[0]);
    return 0;
}

int on_exit(struct bpf_raw_tracepoint_args *ctx)
{
    submit_plain(MM_EXIT, ctx->args[0], 0);
    return 0;
}

int on_merge_one_page(struct bpf_raw_tracepoint_args *ctx)
{
    u64 pfn = ctx->args[0], rmap_item = ctx->args[1], mm = ctx->args[2];
    s16 err = (s16)(int)ctx->args[3];
    submit_item(TRY_TO_MERGE_ONE_PAGE, HAS_KPAGE | ZERO_PAGE, err, rmap_item, mm, 0, pfn);
    if (!err)
        submit_item(REPLACE_PAGE, ZERO_PAGE, 0, rmap_item, mm, 0, pfn);
    return 0;
}

int on_merge_with_ksm_page(struct bpf_raw_tracepoint_args *ctx)
{
    u64 kpage = ctx->args[0], pfn = ctx->args[1], rmap_item = ctx->args[2], mm = ctx->args[3];
    s16 err = (s16)(int)ctx->args[4];
    int zero = 0;
    struct first_half *half = first_halves.lookup(&zero);
    if (!half)
        return 0;
    if (mm != half->named_mm) {
        half->named_mm = mm;
        submit_process(mm);
    }
    if (!kpage) {
        submit_item(TRY_TO_MERGE_ONE_PAGE, 0, err, rmap_item, mm, pfn, 0);
        half->rmap_item = err ? 0 : rmap_item;
        half->mm = mm;
        half->pfn = pfn;
        return 0;
    }
    submit_item(TRY_TO_MERGE_ONE_PAGE, HAS_KPAGE, err, rmap_item, mm, 0, pfn);
    u64 paired = half->pfn == pfn ? half->rmap_item : 0;
    half->rmap_item = 0;
    if (err) {
        if (paired)
            submit_item(BREAK_COW, 0, 0, paired, half->mm, 0, 0);
        return 0;
    }
    submit_item(REPLACE_PAGE, 0, 0, rmap_item, mm, 0, pfn);
    submit_item(STABLE_APPEND, paired ? NEW_NODE : 0, 0, rmap_item, mm, pfn, 0);
    if (paired)
        submit_item(STABLE_APPEND, 0, 0, paired, half->mm, pfn, 0);
    return 0;
}

int on_remove_ksm_page(struct bpf_raw_tracepoint_args *ctx)
{
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = REMOVE_STABLE_NODE;
    event.pfn = ctx->args[0];
    submit(&event);
    return 0;
}
