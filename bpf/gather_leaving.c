/* A process that leaves ksmd's list takes along what was examined of it since the last batch was
 * gathered: once nobody uses its mm, ksmd frees its rmap_items when it comes by or goes on. They are
 * gathered in the leaving task, in uprobe_clear_state, which is the first that __mmput calls, and
 * again in __ksm_exit: by then ksmd has gone on with the page that it was about to choose. Buffers
 * are of the processor, since many can leave at once. */

#ifdef WITH_BPF_LOOP
#define SLOTS_A_CALL 1
#define CALLS_LEAVING (CALLS_A_BATCH + 32768)
#else
#define SLOTS_A_CALL 8
#endif

BPF_PERCPU_ARRAY(leaving_walks, struct walk, 1);
BPF_PERCPU_ARRAY(leaving_chunks, struct chunk, 1);

/* The list is told from where the last batch ended, if that was in it, or from its start. */
static __always_inline u64 told_before(struct gather *gather, u64 slot, u64 mm)
{
    return slot == gather->slot && mm == gather->mm ? gather->link : slot + MM_SLOT_RMAP_LIST;
}

/* Goes back from ksmd's place to the slot of the mm: to what it has come to since. Who leaves
 * meanwhile is put right behind ksmd's place (__ksm_exit), so that the way from there begins anew. */
static __always_inline int seek_slot(struct gather *gather, struct walk *walk, struct chunk *chunk)
{
    u64 mm = 0, slot = 0, sought = walk->sought;
#pragma clang loop unroll(disable)
    for (int looked = 0; looked < SLOTS_A_CALL; looked++) {
        slot = load64(IN_MEMORY(walk->slot) + MM_SLOT_MM_NODE + sizeof(u64)) - MM_SLOT_MM_NODE;
        IN_MEMORY(walk->slot) = slot;
        mm = load64(slot + MM_SLOT_MM);
        if (mm == sought || !mm || slot == gather->slot)
            break;
    }
    if (mm != sought) {
        if (mm && slot != gather->slot)
            return 0;
        if (!mm && slot != SYM_KSM_MM_HEAD)
            gather->unsure = 1; /* a slot that was freed meanwhile */
        return end_walk(walk, 0); /* ksmd has not come to it */
    }
    struct visit *visit = visits.lookup(&sought);
    if (visit) {
        visit->mark = walk->mark;
        visit->told = 0;
        visit->slot = slot;
    }
    walk->sought = 0;
    walk->last_slot = slot;
    walk->last_item = 0;
    if (begin_list(walk, chunk, slot, mm, told_before(gather, slot, mm)))
        return 0;
    return end_walk(walk, GATHER_TORN);
}

/* Where ksmd is at the mm: tells up to there. */
static __always_inline int begin_told(struct gather *gather, struct walk *walk, struct chunk *chunk,
                                      struct visit *visit, u64 slot, u64 mm, u64 link)
{
    u64 mark = mark_of(gather);
    int again = visit->mark == mark;
    u64 from = again ? visit->told : told_before(gather, slot, mm);
    if (link == from || (again && !from))
        return NOTHING;
    READ_ITEM(item, link);
    if (link == slot + MM_SLOT_RMAP_LIST || ITEM_MM(item) != mm) {
        /* It has just come here, or knows that nobody uses the mm and goes on. */
        if (!again && from != slot + MM_SLOT_RMAP_LIST)
            gather->unsure = 1;
        return NOTHING;
    }
    clear_walk(gather, walk, GATHER_LEAVING | GATHER_FIRST);
    walk->sought = 0;
    walk->last_slot = slot;
    walk->last_item = link;
    if (!begin_list(walk, chunk, slot, mm, from)) {
        gather->unsure = 1;
        return NOTHING;
    }
    visit->mark = mark;
    visit->told = link;
    return WALK;
}

static __always_inline int begin_leaving(struct gather *gather, struct walk *walk,
                                         struct chunk *chunk, u64 mm)
{
    struct visit *visit = visit_of(mm);
    if (!visit)
        return NOTHING;
    visit->left = gather->last_left = gather->looks;
    if (mm == gather->mm)
        gather->left = 1;
    READ_WORDS(scan, SYM_KSM_SCAN, 4);
    u64 slot = scan[KSM_SCAN_MM_SLOT / 8], link = scan[KSM_SCAN_RMAP_LIST / 8];
    if (scan[KSM_SCAN_SEQNR / 8] < gather->seqnr
        || (slot == gather->slot && link == gather->link))
        return NOTHING;
    if (load64(slot + MM_SLOT_MM) == mm) {
        visit->slot = slot;
        return begin_told(gather, walk, chunk, visit, slot, mm, link);
    }
    if (visit->mark == mark_of(gather))
        return NOTHING;
    clear_walk(gather, walk, GATHER_LEAVING | GATHER_FIRST);
    walk->sought = mm;
    walk->slot = slot;
    return WALK;
}

/* One more step; 0 while there are more. */
static __always_inline int leave_on(struct walk *walk, struct chunk *chunk)
{
    int zero = 0;
    struct gather *gather = gathers.lookup(&zero);
    if (!gather)
        return 1;
    return walk->sought ? seek_slot(gather, walk, chunk) : walk_on(walk, chunk);
}

static __always_inline void end_leaving(struct gather *gather, struct walk *walk,
                                        struct chunk *chunk)
{
    if (walk->sought) {
        if (!walk->done)
            gather->unsure = 1;
        return;
    }
    if (!walk->done)
        walk->err = GATHER_CEILING;
    end_run(walk, chunk);
    send_chunk(walk, chunk, GATHER_LAST);
}

#ifdef WITH_BPF_LOOP
int gather_next_leaving(u64 *ctx)
{
    int zero = 0;
    struct walk *walk = leaving_walks.lookup(&zero);
    struct chunk *chunk = leaving_chunks.lookup(&zero);
    return walk && chunk ? leave_on(walk, chunk) : 1;
}

static __always_inline void leave_all(void *ctx, struct gather *gather, struct walk *walk,
                                      struct chunk *chunk)
{
    loop(CALLS_LEAVING, (void *)CALLBACK, 0, 0);
    end_leaving(gather, walk, chunk);
}
#else
int gather_more_leaving(void *ctx)
{
    int zero = 0;
    struct gather *gather = gathers.lookup(&zero);
    struct walk *walk = leaving_walks.lookup(&zero);
    struct chunk *chunk = leaving_chunks.lookup(&zero);
    if (!gather || !walk || !chunk)
        return 0;
#pragma clang loop unroll(disable)
    for (int round = 0; round < ROUNDS_OF_LEAVING; round++)
        if (leave_on(walk, chunk))
            break;
    if (!walk->done)
        gather_tails.call(ctx, 1);
    end_leaving(gather, walk, chunk);
    return 0;
}

static __always_inline void leave_all(void *ctx, struct gather *gather, struct walk *walk,
                                      struct chunk *chunk)
{
    gather_tails.call(ctx, 1);
    end_leaving(gather, walk, chunk);
}
#endif

/* A task may be preempted before __ksm_exit puts the slot where ksmd comes to it next. */
static __always_inline void ask_for(struct gather *gather, u64 mm)
{
#ifdef WITH_BPF_LOOP
    struct visit *visit = visits.lookup(&mm);
    if (!visit || !visit->slot)
        return;
    struct leaver leaver = {mm, visit->slot, 0};
    if (leavers.push(&leaver, BPF_ANY))
        gather->unsure = 1;
#endif
}

static __always_inline int on_ksm_leaving(void *ctx, u64 mm)
{
    int zero = 0;
    struct gather *gather = gathers.lookup(&zero);
    struct walk *walk = leaving_walks.lookup(&zero);
    struct chunk *chunk = leaving_chunks.lookup(&zero);
    if (!gather || !walk || !chunk || !gather->synced || gather->reset)
        return 0;
    if (begin_leaving(gather, walk, chunk, mm) == WALK)
        leave_all(ctx, gather, walk, chunk);
    ask_for(gather, mm);
    return 0;
}
