/* Names of processes. */

static __always_inline void submit_process(u64 mm)
{
    u64 owner = read64(mm + MM_OWNER);
    if (!owner)
        return;
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = PROCESS;
    event.mm = mm;
    event.aux = read32(owner + TASK_TGID);
    event.pfn = read64(owner + TASK_COMM);
    event.rmap_item = read64(owner + TASK_COMM + 8);
    submit(&event);
}
