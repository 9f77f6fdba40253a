/* Where the kernel does not tell who owns an mm. */

static __always_inline void submit_process(u64 mm)
{
}
