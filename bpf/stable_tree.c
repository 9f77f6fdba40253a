/* The stable tree: rmap_items that join it, stable nodes that leave it, and merges undone. */

#define NODE_BEGIN LESS(STABLE_NODE_KPFN, STABLE_NODE_HLIST)
#define NODE_END (MORE(STABLE_NODE_KPFN, STABLE_NODE_HLIST) + 8)

static __always_inline int on_stable_tree_append(u64 rmap_item, u64 stable_node)
{
    struct item item;
    u64 node[(NODE_END - NODE_BEGIN) / 8];
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = STABLE_APPEND;
    event.rmap_item = rmap_item;
    event.aux = stable_node;
    read_item(&item, event.rmap_item);
    event.mm = item_mm(&item);
    event.address = PAGE_ADDRESS(item_address(&item));
    bpf_probe_read_kernel(node, sizeof(node), (void *)(event.aux + NODE_BEGIN));
    event.pfn = node[(STABLE_NODE_KPFN - NODE_BEGIN) / 8];
    event.flags = node[(STABLE_NODE_HLIST - NODE_BEGIN) / 8] ? 0 : NEW_NODE;
    event.flags |= mark_of_item(event.rmap_item, under_examination(0));
    submit(&event);
    return 0;
}

static __always_inline int on_remove_node_from_stable_tree(u64 stable_node, void *context)
{
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
    struct item item;
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = BREAK_COW;
    event.rmap_item = rmap_item;
    read_item(&item, event.rmap_item);
    event.mm = item_mm(&item);
    event.address = PAGE_ADDRESS(item_address(&item));
    event.flags = mark_of_item(event.rmap_item, under_examination(0));
    submit(&event);
    return 0;
}
