/* What the probes of functions remember of ksmd's thread from one to the next. */

/* A write into the ring costs ksmd 230 instructions, and an rmap_item whose page became a KSM page
 * joins the stable node at once. So, with HOLDING, the attempt is held, and goes into the ring as one
 * record with its STABLE_APPEND: `oldchecksum` and `checksum` are the node's address, `ts` is the
 * attempt's. The attempt that makes a KSM page is held until its partner out of the unstable tree and
 * itself have joined the node of it, in this order: then both records are one write, the second with
 * both appends. These kinds never leave the source. */
#define MERGED 254
#define MERGED_TWO 253
#define MERGED_NEW_NODE 0x40

/* An rmap_item that was tried to be merged. */
struct tried {
    u64 rmap_item;
    u64 mm;
    u64 address;
};

struct scan_state {
    /* the candidate under examination */
    u64 open;
    u64 ts;
    u64 mm;
    u64 address;
    u64 rmap_item;
    u64 seqnr;
    u64 pfn;
    u32 oldchecksum;
    u32 flags;
    /* the pass */
    u64 in_pass;
    u64 synced;
    u64 pass;
    u64 named_mm;
    /* ksm_next_page_pmd_entry under way, and what it found */
    u64 walk;
    u64 found_address;
    u64 found_page;
    u64 found_ts;
    u64 found_cursor;
    u64 found;
    u64 skipped; /* ksm_pages_skipped when it was last read */
    /* try_to_merge_with_ksm_page and try_to_merge_one_page under way */
    u64 merging;
    u64 merging_with;
    u64 vma;
    u64 page;
    u64 kpage;
    u64 was_compound;
    u64 vmemmap; /* vmemmap_base, which does not change */
    struct tried tried[2]; /* last in this turn: the candidate, and its partner */
    u64 examined;          /* the candidate, then */
    u64 became_ksm;        /* the page that was made a KSM page by the last attempt */
    u64 replacing;         /* replace_page was entered, where a probe map lets us see it */
    /* attempts that are not in the ring yet; kind 0 for none */
    struct held {
        struct ksm_event first; /* that has made a KSM page */
        u64 length;             /* of the other one, as if it were a write of its own */
        struct ksm_event event;
    } held;
};
BPF_ARRAY(scan_states, struct scan_state, 1);

static __always_inline struct scan_state *scan_state(void)
{
    int zero = 0;
    return scan_states.lookup(&zero);
}

static __always_inline void submit_held(struct scan_state *state)
{
    if (!state)
        return;
#ifdef HOLDING
    struct ksm_event *first = &state->held.first, *event = &state->held.event;
    if (first->kind)
        submit(first);
    if (event->kind)
        submit_as(event, sizeof(*event), 0, event->kind == MERGED ? 2 : 1);
    first->kind = event->kind = 0;
#else
    if (state->held.event.kind)
        submit(&state->held.event);
    state->held.event.kind = 0;
#endif
}

/* 0 where the kernel does not tell where struct pages lie. */
static __always_inline u64 page_to_pfn(struct scan_state *state, u64 page)
{
    if (!page)
        return 0;
#ifdef WITH_VMEMMAP
    if (!state->vmemmap)
        state->vmemmap = read64(SYM_VMEMMAP_BASE);
    return (page - state->vmemmap) / STRUCT_PAGE_SIZE;
#else
    return 0;
#endif
}

static __always_inline void name_mm(struct scan_state *state, u64 mm)
{
    if (state->named_mm == mm)
        return;
    state->named_mm = mm;
    submit_process(mm);
}
