/* In place of marks.c, where candidates are not gathered. */

static __always_inline void count_tunable_write(void)
{
}

static __always_inline u64 place_of_ksmd(void)
{
    return 0;
}

static __always_inline u64 under_examination(u64 seen)
{
    return seen;
}

static __always_inline u8 mark_of_item(u64 rmap_item, u64 examined)
{
    return 0;
}

static __always_inline void mark_node(struct ksm_event *event, void *context)
{
}
