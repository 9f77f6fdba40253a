/* A process that leaves ksmd's list takes along what was examined of it since the last batch was
 * gathered: ksmd frees its rmap_items at once. They are gathered in the leaving task, with buffers
 * of its processor, since many can leave at once. */

#define MOST_SLOTS 24

BPF_PERCPU_ARRAY(leaving_walks, struct walk, 1);
BPF_PERCPU_ARRAY(leaving_chunks, struct chunk, 1);

/* Puts the slot of an mm among those to which ksmd has come since into walk->slot; else 0. It is
 * kept in memory, or the verifier would follow what comes of each of the loop's turns. */
static __always_inline void find_slot(struct gather *gather, struct walk *walk, u64 mm,
                                      u64 now_slot, u64 left)
{
    walk->slot = gather->slot;
    walk->done = 0;
    if (gather->slot != SYM_KSM_MM_HEAD && (left || !is_listed(gather->slot, gather->mm)))
        walk->slot = SYM_KSM_MM_HEAD;
#pragma clang loop unroll(disable)
    for (int looked = 0; looked < MOST_SLOTS; looked++) {
        u64 slot = walk->slot;
        if (slot != SYM_KSM_MM_HEAD && load64(slot + MM_SLOT_MM) == mm)
            return;
        if (slot == now_slot && (slot != SYM_KSM_MM_HEAD || walk->done)) {
            walk->slot = 0;
            return;
        }
        walk->done = 1;
        walk->slot = load64(slot + MM_SLOT_MM_NODE) - MM_SLOT_MM_NODE;
    }
    walk->slot = 0;
    gather->unsure = 1;
}

static __always_inline int begin_leaving(struct gather *gather, struct walk *walk,
                                         struct chunk *chunk, u64 mm)
{
    struct visit *visit = visit_of(mm);
    if (!visit)
        return NOTHING;
    u64 left = gather->left;
    visit->left = gather->last_left = gather->looks;
    if (mm == gather->mm)
        gather->left = 1;
    u64 mark = mark_of(gather);
    READ_WORDS(scan, SYM_KSM_SCAN, 4);
    u64 now_slot = scan[KSM_SCAN_MM_SLOT / 8], link = scan[KSM_SCAN_RMAP_LIST / 8];
    if (visit->mark == mark || scan[KSM_SCAN_SEQNR / 8] < gather->seqnr
        || (now_slot == gather->slot && link == gather->link))
        return NOTHING;
    find_slot(gather, walk, mm, now_slot, left);
    u64 slot = walk->slot;
    if (!slot || (slot == now_slot && link == slot + MM_SLOT_RMAP_LIST))
        return NOTHING;
    visit->mark = mark;
    clear_walk(gather, walk, GATHER_LEAVING | GATHER_FIRST);
    walk->last_slot = slot;
    walk->last_item = slot == now_slot ? link : 0;
    u64 from = slot == gather->slot ? gather->link : slot + MM_SLOT_RMAP_LIST;
    if (begin_list(walk, chunk, slot, mm, from))
        return WALK;
    walk->err = GATHER_TORN;
    return SEND;
}

static __always_inline void end_leaving(struct walk *walk, struct chunk *chunk)
{
    end_run(walk, chunk);
    send_chunk(walk, chunk, GATHER_LAST);
}

#ifdef WITH_BPF_LOOP
int gather_next_leaving(u64 *ctx)
{
    int zero = 0;
    struct walk *walk = leaving_walks.lookup(&zero);
    struct chunk *chunk = leaving_chunks.lookup(&zero);
    return walk && chunk ? walk_on(walk, chunk) : 1;
}

static __always_inline void leave_all(void *ctx, struct walk *walk, struct chunk *chunk)
{
    loop(CALLS_A_BATCH, (void *)CALLBACK, 0, 0);
    if (!walk->done)
        walk->err = GATHER_CEILING;
    end_leaving(walk, chunk);
}
#else
int gather_more_leaving(void *ctx)
{
    int zero = 0;
    struct walk *walk = leaving_walks.lookup(&zero);
    struct chunk *chunk = leaving_chunks.lookup(&zero);
    if (!walk || !chunk)
        return 0;
#pragma clang loop unroll(disable)
    for (int round = 0; round < ROUNDS_OF_LEAVING; round++)
        if (walk_on(walk, chunk))
            break;
    if (!walk->done) {
        gather_tails.call(ctx, 1);
        walk->err = GATHER_CEILING;
    }
    end_leaving(walk, chunk);
    return 0;
}

static __always_inline void leave_all(void *ctx, struct walk *walk, struct chunk *chunk)
{
    gather_tails.call(ctx, 1);
    walk->err = GATHER_CEILING;
    end_leaving(walk, chunk);
}
#endif

static __always_inline int on_ksm_leaving(void *ctx, u64 mm)
{
    int zero = 0;
    struct gather *gather = gathers.lookup(&zero);
    struct walk *walk = leaving_walks.lookup(&zero);
    struct chunk *chunk = leaving_chunks.lookup(&zero);
    if (!gather || !walk || !chunk || !gather->synced || gather->reset)
        return 0;
    int todo = begin_leaving(gather, walk, chunk, mm);
    if (todo == WALK)
        leave_all(ctx, walk, chunk);
    else if (todo == SEND)
        end_leaving(walk, chunk);
    return 0;
}
