/* The stable tree: rmap_items that join it, stable nodes that leave it, and merges undone. */

#define NODE_BEGIN LESS(STABLE_NODE_KPFN, STABLE_NODE_HLIST)
#define NODE_END (MORE(STABLE_NODE_KPFN, STABLE_NODE_HLIST) + 8)

/* The rmap_item of an event that comes in the turn in which it was tried to be merged, so that it
 * has been read already; where attempts are not seen it is read now. */
static __always_inline void name_item(struct ksm_event *event, u64 rmap_item)
{
    event->rmap_item = rmap_item;
    struct scan_state *state = scan_state();
    if (!state)
        return;
    struct tried *tried = &state->tried[rmap_item != state->examined];
    if (tried->rmap_item == rmap_item) {
        event->mm = tried->mm;
        event->address = tried->address;
        event->flags |= mark_of_item(rmap_item, state->examined);
        return;
    }
    struct item item;
    read_item(&item, event->rmap_item);
    event->mm = item_mm(&item);
    event->address = PAGE_ADDRESS(item_address(&item));
    event->flags |= mark_of_item(rmap_item, under_examination(0));
}

#ifdef HOLDING
/* Whether the attempt by which an rmap_item came to the node is held, so that both go together; of
 * two, the first one's append comes last. */
static __always_inline int submit_merged(struct scan_state *state, u64 rmap_item, u64 stable_node,
                                         u64 pfn, int is_new)
{
    struct ksm_event *first = &state->held.first, *held = &state->held.event;
    u64 *node = (u64 *)&held->oldchecksum;
    if (held->kind == MERGED && first->rmap_item == rmap_item && *node == stable_node) {
        held->kind = MERGED_TWO;
        state->held.length = sizeof(*held);
        submit_as(first, sizeof(struct held), held, 4);
        first->kind = held->kind = 0;
        return 1;
    }
    if (held->kind != TRY_TO_MERGE_ONE_PAGE || held->rmap_item != rmap_item || held->aux != pfn)
        return 0;
    held->kind = MERGED;
    *node = stable_node;
    if (is_new)
        held->flags |= MERGED_NEW_NODE;
    if (!first->kind)
        submit_held(state);
    return 1;
}
#else
static __always_inline int submit_merged(struct scan_state *state, u64 rmap_item, u64 stable_node,
                                         u64 pfn, int is_new)
{
    return 0;
}
#endif

static __always_inline int on_stable_tree_append(u64 rmap_item, u64 stable_node)
{
#ifdef TYPED_ON_STABLE_TREE_APPEND
    u64 pfn = MEMBER(stable_node, STABLE_NODE_KPFN);
    int is_new = !MEMBER(stable_node, STABLE_NODE_HLIST);
#else
    u64 node[(NODE_END - NODE_BEGIN) / 8];
    read_bytes(node, sizeof(node), stable_node + NODE_BEGIN);
    u64 pfn = node[(STABLE_NODE_KPFN - NODE_BEGIN) / 8];
    int is_new = !node[(STABLE_NODE_HLIST - NODE_BEGIN) / 8];
#endif
    struct scan_state *state = scan_state();
    if (state && submit_merged(state, rmap_item, stable_node, pfn, is_new))
        return 0;
    submit_held(state);
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = STABLE_APPEND;
    event.aux = stable_node;
    event.pfn = pfn;
    event.flags = is_new ? NEW_NODE : 0;
    name_item(&event, rmap_item);
    submit(&event);
    return 0;
}

static __always_inline int on_remove_node_from_stable_tree(u64 stable_node, void *context)
{
    submit_held(scan_state());
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = REMOVE_STABLE_NODE;
    event.aux = stable_node;
    event.pfn = read64(event.aux + STABLE_NODE_KPFN);
    mark_node(&event, context);
    submit(&event);
    return 0;
}

static __always_inline int on_break_cow(u64 rmap_item)
{
    submit_held(scan_state());
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = BREAK_COW;
    name_item(&event, rmap_item);
    submit(&event);
    return 0;
}
