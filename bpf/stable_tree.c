/* The stable tree: rmap_items that join it, stable nodes that leave it, and merges undone. */

static __always_inline int on_stable_tree_append(u64 rmap_item, u64 stable_node)
{
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = STABLE_APPEND;
    event.rmap_item = rmap_item;
    event.aux = stable_node;
    event.mm = read64(event.rmap_item + RMAP_ITEM_MM);
    event.address = PAGE_ADDRESS(read64(event.rmap_item + RMAP_ITEM_ADDRESS));
    event.pfn = read64(event.aux + STABLE_NODE_KPFN);
    if (!read64(event.aux + STABLE_NODE_HLIST))
        event.flags = NEW_NODE;
    submit(&event);
    return 0;
}

static __always_inline int on_remove_node_from_stable_tree(u64 stable_node)
{
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = REMOVE_STABLE_NODE;
    event.aux = stable_node;
    event.pfn = read64(event.aux + STABLE_NODE_KPFN);
    submit(&event);
    return 0;
}

static __always_inline int on_break_cow(u64 rmap_item)
{
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = BREAK_COW;
    event.rmap_item = rmap_item;
    event.mm = read64(event.rmap_item + RMAP_ITEM_MM);
    event.address = PAGE_ADDRESS(read64(event.rmap_item + RMAP_ITEM_ADDRESS));
    submit(&event);
    return 0;
}
