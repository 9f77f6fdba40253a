/* Processes that register their memory with ksmd, and leave. */

static __always_inline int on_ksm_enter(u64 mm)
{
    submit_plain(MM_ENTER, mm, 0);
    submit_process(mm);
    return 0;
}

static __always_inline int on_ksm_exit(u64 mm)
{
    submit_plain(MM_EXIT, mm, 0);
    return 0;
}
