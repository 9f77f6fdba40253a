/* Processes that register their memory with ksmd, and leave. */

static __always_inline void submit_registration(u8 kind, u64 mm)
{
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = kind;
    event.mm = mm;
    event.rmap_item = place_of_ksmd();
    submit(&event);
}

static __always_inline int on_ksm_enter(u64 mm)
{
    submit_registration(MM_ENTER, mm);
    /* A fork registers the child's mm while the child still has its parent's number: its name comes
     * when ksmd does. */
    if (read64(bpf_get_current_task() + TASK_MM) == mm)
        submit_process(mm);
    return 0;
}

static __always_inline int on_ksm_exit(u64 mm)
{
    submit_registration(MM_EXIT, mm);
    return 0;
}
