/* Full tier: processes that register their memory with ksmd, and leave. */

int on_ksm_enter(struct pt_regs *ctx)
{
    submit_plain(MM_ENTER, PT_REGS_PARM1(ctx), 0);
    submit_process(PT_REGS_PARM1(ctx));
    return 0;
}

int on_ksm_exit(struct pt_regs *ctx)
{
    submit_plain(MM_EXIT, PT_REGS_PARM1(ctx), 0);
    return 0;
}
