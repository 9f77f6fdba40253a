/* An mm that nobody uses any more, before ksmd can see that; of any process. */

#define MMF_VM_MERGEABLE (1 << 16)

static __always_inline int on_mm_going(void *ctx, u64 mm)
{
    if (!(load64(mm + MM_FLAGS) & MMF_VM_MERGEABLE))
        return 0;
    return on_ksm_leaving(ctx, mm);
}
