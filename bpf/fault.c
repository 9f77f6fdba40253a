/* Private copies of KSM pages. A user's write does not pass break_cow: it faults into do_wp_page,
 * which also carries out the breaks that the kernel makes itself through break_ksm. */

struct cow_fault {
    u64 ts;
    u64 mm;
    u64 address;
    u64 pfn;
};
BPF_HASH(cow_faults, u64, struct cow_fault);
BPF_HASH(breaking, u64, u8);

static __always_inline int on_break_ksm(void)
{
    u64 task = bpf_get_current_pid_tgid();
    u8 yes = 1;
    breaking.update(&task, &yes);
    return 0;
}

static __always_inline int on_break_ksm_return(u64 result)
{
    u64 task = bpf_get_current_pid_tgid();
    breaking.delete(&task);
    return 0;
}

static __always_inline int on_do_wp_page(u64 vmf)
{
    /* x86-64's page table entries, as vmemmap_base is x86-64's */
    u64 pfn = (read64(vmf + VMF_ORIG_PTE) & 0x000ffffffffff000ULL) >> 12;
    u64 page = read64(SYM_VMEMMAP_BASE) + pfn * STRUCT_PAGE_SIZE;
    if ((read64(page + PAGE_MAPPING) & 3) != 3) /* PAGE_MAPPING_KSM */
        return 0;
#ifdef WITH_COMPOUND
    if (read64(page + PAGE_COMPOUND_HEAD) & 1)
        return 0; /* the second page of a huge one has counts of the whole there */
#endif
    struct cow_fault fault = {};
    fault.ts = bpf_ktime_get_ns();
    fault.mm = read64(read64(vmf + VMF_VMA) + VMA_MM);
    fault.address = PAGE_ADDRESS(read64(vmf + VMF_ADDRESS));
    fault.pfn = pfn;
    u64 task = bpf_get_current_pid_tgid();
    cow_faults.update(&task, &fault);
    return 0;
}

static __always_inline int on_do_wp_page_return(u64 result)
{
    u64 task = bpf_get_current_pid_tgid();
    struct cow_fault *fault = cow_faults.lookup(&task);
    if (!fault)
        return 0;
    struct ksm_event event = {};
    event.ts = fault->ts;
    event.kind = COW_FAULT;
    event.err = (s16)(int)result;
    event.flags = breaking.lookup(&task) ? BY_KERNEL : 0;
    event.mm = fault->mm;
    event.address = fault->address;
    event.pfn = fault->pfn;
    event.aux = bpf_ktime_get_ns() - fault->ts;
    cow_faults.delete(&task);
    submit(&event);
    return 0;
}
