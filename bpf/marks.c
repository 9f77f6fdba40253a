/* What is told of rare events so that user space can put them in their place among ksmd's
 * candidates, which are gathered. Records of try_to_merge_one_page become such of replace_page
 * there too. */

#define GATHERING 1
#define NOT_AT_CURSOR 0x80
#define BETWEEN 0x80
#define FROM_REMOVAL 0x40
#define IN_TREE 0x20
#define CALLERS 3
#define STACK_WORDS 24
#define BETWEEN_PASSES 1
#ifndef TOTALS_ONLY
#define HOLDING 1
#endif

BPF_ARRAY(tunable_write_counts, u64, 1);

/* At both ends of a write to a tunable, since it takes effect in between. */
static __always_inline void count_tunable_write(void)
{
    int zero = 0;
    u64 *count = tunable_write_counts.lookup(&zero);
    if (count)
        __sync_fetch_and_add(count, 1);
}

static __always_inline u64 tunable_writes_so_far(void)
{
    int zero = 0;
    u64 *count = tunable_write_counts.lookup(&zero);
    return count ? *count : 0;
}

/* The rmap_item that ksmd examines, whatever of it was seen. */
static __always_inline u64 under_examination(u64 seen)
{
    return read64(SYM_KSM_SCAN + KSM_SCAN_RMAP_LIST);
}

/* In records of tunables and registrations: the rmap_item at which ksmd is, or the mm whose first
 * it has not come to yet; between two passes 1. */
static __always_inline u64 place_of_ksmd(void)
{
    struct scan scan;
    read_scan(&scan);
    u64 slot = scan_slot(&scan), link = scan_rmap_list(&scan);
    if (slot == SYM_KSM_MM_HEAD)
        return BETWEEN_PASSES;
    return link == slot + MM_SLOT_RMAP_LIST ? read64(slot + MM_SLOT_MM) : link;
}

/* In records of rmap_items: it is not the one that ksmd examines, but its partner out of the
 * unstable tree. */
static __always_inline u8 mark_of_item(u64 rmap_item, u64 examined)
{
    return rmap_item == examined ? 0 : NOT_AT_CURSOR;
}

static __always_inline int is_in_removal(u64 place)
{
    return place > SYM_REMOVE_RMAP_ITEM_FROM_TREE && place < END_REMOVE_RMAP_ITEM_FROM_TREE;
}

struct caller {
    u64 place;     /* to which remove_node_from_stable_tree returns */
    u64 distance;  /* on the stack, up to where its caller returns to */
    u64 elsewhere; /* a place outside of the removal that was seen there */
};
BPF_ARRAY(callers_seen, struct caller, 1);

/* Where the caller of remove_node_from_stable_tree returns to. Its frame is as large whenever it is
 * at the same place, so that the stack is unwound for what was not seen before, and else read. */
static __always_inline u64 second_caller(void *context, u64 stack, u64 place)
{
    int zero = 0;
    struct caller *seen = callers_seen.lookup(&zero);
    if (!seen)
        return 0;
    if (seen->place == place) {
        u64 caller = read64(stack + seen->distance);
        if (caller == seen->elsewhere || is_in_removal(caller))
            return caller;
    }
    u64 callers[CALLERS], words[STACK_WORDS];
    __builtin_memset(callers, 0, sizeof(callers));
    bpf_get_stack(context, callers, sizeof(callers), 0);
    u64 caller = callers[0] == place ? callers[1] : callers[2];
    read_bytes(words, sizeof(words), stack);
    seen->place = 0;
#pragma unroll
    for (int index = STACK_WORDS - 1; index > 0; index--)
        if (words[index] == caller) {
            seen->place = place;
            seen->distance = index * sizeof(u64);
        }
    if (!is_in_removal(caller))
        seen->elsewhere = caller;
    return caller;
}

/* remove_rmap_item_from_tree finds that the stable node is stale, and not a search of the tree. */
static __always_inline int is_from_removal(void *context)
{
    u64 stack = PT_REGS_SP((struct pt_regs *)context), place = read64(stack);
    return is_in_removal(place) || is_in_removal(second_caller(context, stack, place));
}

/* In records of stable nodes that ksmd removes: where its cursor is, and whether it is on its way
 * from there to the next page; if not, whether the page's own rmap_item has left its tree yet: up
 * to 6.10 that comes behind the search that finds nodes stale. Before the first page of a pass the
 * cursor still names an rmap_item, which is not examined. */
static __always_inline void mark_node(struct ksm_event *event, void *context)
{
    if (!in_ksmd())
        return;
    struct scan scan;
    struct item item;
    read_scan(&scan);
    int at_head = scan_slot(&scan) == SYM_KSM_MM_HEAD;
    event->rmap_item = at_head ? SYM_KSM_MM_HEAD : scan_rmap_list(&scan);
    read_item(&item, event->rmap_item);
    u64 word = item_address(&item);
    if (at_head || PAGE_ADDRESS(word) != scan_address(&scan) - PAGE_BYTES)
        event->flags |= BETWEEN;
    else if (tree_flags(word))
        event->flags |= IN_TREE;
    /* Of the item that it examines, ksmd removes what it has joined. */
    int other = !(event->flags & BETWEEN)
                && (!(word & KERNEL_STABLE_FLAG) || item_head(&item) != event->aux);
    if (!other && is_from_removal(context))
        event->flags |= FROM_REMOVAL;
}
