/* Gathers what ksmd examined, once a batch, in its own thread as it goes to sleep.
 *
 * The rmap_items of an mm are a list in the order of addresses, the mms a list in the order of
 * visits, and ksm_scan.rmap_list points at the link of the item that was examined last (it is the
 * item's first field). So what ksmd did since is what lies between the cursor's last place and its
 * present one; nothing is freed behind the cursor before the pass ends, and a batch ends with its
 * pass. */

#define KSM_RUN_UNMERGE 2
#define CALLS_A_BATCH (262144 / ITEMS_A_CALL)
#define CALLS_AN_INVENTORY (8192 / ITEMS_A_CALL) /* in one go, while ksmd waits */
#define INVENTORY_PAUSE 10000000 /* nanoseconds, in which the ring is read */
#define SOME_LOOKS 16
#define SLOT_BEGIN LESS(MM_SLOT_MM, MM_SLOT_MM_NODE)
#define SLOT_WORDS (MORE(MM_SLOT_MM, MM_SLOT_MM_NODE) / 8 - SLOT_BEGIN / 8 + 1)

enum gather_todo { NOTHING, WALK, SEND };

struct gather {
    u64 synced;
    /* where the cursor was last */
    u64 slot;
    u64 mm;
    u64 link;
    u64 seqnr;
    /* and is now */
    u64 now_slot;
    u64 now_link;
    u64 now_seqnr;
    u64 left; /* the mm where it was last leaves: its slot may be elsewhere */
    u64 looks; /* at the cursor; a batch in which it did not move has no number */
    u64 last_left; /* looks when any mm was seen leaving last; several write it at a time */
    u64 batch;
    u64 began;
    u64 epoch;     /* one more with each reset: seqnr begins anew */
    u64 whole;     /* the pass was seen from its first page */
    u64 reset;     /* run=2 was written: rmap_items are freed, and the cursor moved meanwhile */
    u64 writes;    /* to tunables, up to the last batch's end */
    u64 unsure;    /* a process left, and pages of it may not have been told */
    u64 inventory; /* its number */
    u64 listing;   /* it is under way */
    u64 listed_ts;
    u64 listed_since; /* looks as it began; nobody's once the list is walked again */
    u64 listed_slot;
    u64 listed_mm;
    u64 listed_item;
    u64 listed_address;
    struct walk walk;
};
BPF_ARRAY(gathers, struct gather, 1);
BPF_ARRAY(gather_chunks, struct chunk, 1);
BPF_ARRAY(gather_controls, u32, 1); /* 1: an inventory is asked for */

static __always_inline u64 mark_of(struct gather *gather)
{
    return gather->epoch << 40 | (gather->seqnr + 1);
}

static __always_inline void take_cursor(struct gather *gather)
{
    gather->slot = gather->now_slot;
    gather->link = gather->now_link;
    gather->seqnr = gather->now_seqnr;
    if (gather->slot == SYM_KSM_MM_HEAD)
        gather->mm = 0;
    else if (gather->slot != gather->walk.slot || !(gather->mm = gather->walk.mm))
        gather->mm = load64(gather->slot + MM_SLOT_MM);
    gather->left = 0;
    if (gather->looks > gather->last_left + SOME_LOOKS)
        return;
    u64 mm = gather->mm;
    struct visit *visit = visits.lookup(&mm);
    gather->left = visit && visit->left && visit->left + 1 >= gather->looks;
}

/* Whether a slot is still that of its mm, and in the list. */
static __always_inline int is_listed(u64 slot, u64 mm)
{
    READ_WORDS(words, slot + SLOT_BEGIN, SLOT_WORDS);
    if (words[(MM_SLOT_MM - SLOT_BEGIN) / 8] != mm)
        return 0;
    u64 next = words[(MM_SLOT_MM_NODE - SLOT_BEGIN) / 8];
    return load64(next + sizeof(u64)) == slot + MM_SLOT_MM_NODE;
}

static __always_inline void clear_walk(struct gather *gather, struct walk *walk, u64 flags)
{
    walk->slot = SYM_KSM_MM_HEAD;
    walk->mm = 0;
    walk->item = 0;
    walk->expected = NO_RUN;
    walk->run = 0;
    walk->skips = ~0ULL;
    walk->batch = gather->batch;
    walk->pass = gather->seqnr;
    walk->began = gather->began;
    walk->flags = flags;
    walk->err = 0;
    walk->items = 0;
    walk->bytes = HEADER_WORDS * sizeof(u64);
    walk->mark = mark_of(gather);
    walk->inventory = gather->inventory;
    walk->done = 0;
    walk->asking = 0;
    walk->runs = 0;
    walk->smart_scan = 0;
#ifdef WITH_SMART_SCAN
    walk->writes = tunable_writes_so_far();
    if (load64(SYM_KSM_SMART_SCAN) & 0xff)
        walk->smart_scan = GATHER_SMART_SCAN_ON;
    if (walk->writes != gather->writes)
        walk->smart_scan |= GATHER_TUNABLE_WRITTEN;
#endif
}

/* Whether nobody uses an mm any more: its slot is, or will be, behind ksmd's (__ksm_exit). */
static __always_inline int is_unused(u64 mm)
{
    return !(u32)load64(mm + MM_USERS);
}

/* Begins a list at the item behind `link`; the link of the list's own start is no item's. */
static __always_inline int begin_list(struct walk *walk, struct chunk *chunk, u64 slot, u64 mm,
                                      u64 link)
{
    walk->slot = slot;
    walk->mm = mm;
    put(walk, chunk, WORD_MM);
    put(walk, chunk, mm);
    if (link == slot + MM_SLOT_RMAP_LIST) {
        walk->item = load64(link);
        return 1;
    }
    READ_ITEM(item, link);
    walk->item = ITEM_NEXT(item);
    walk->expected = PAGE_ADDRESS(ITEM_ADDRESS(item) + PAGE_BYTES) | NO_RUN;
    put(walk, chunk, word_at(ITEM_ADDRESS(item), 1));
    return ITEM_MM(item) == mm;
}

/* What is known of all mms, as much as ksmd's thread may be kept waiting for, and at which of them
 * ksmd is: whoever leaves before its next batch is put behind that one. */
static __always_inline int begin_inventory(struct gather *gather, struct walk *walk,
                                           struct chunk *chunk)
{
    int zero = 0;
    u32 *asked = gather_controls.lookup(&zero);
    u64 flags = GATHER_INVENTORY;
    if (asked && (*asked || !gather->inventory)) {
        *asked = 0;
        gather->inventory++;
        gather->listing = 1;
        gather->listed_item = 0;
        gather->listed_slot = SYM_KSM_MM_HEAD;
        gather->listed_since = gather->looks;
        flags |= GATHER_FIRST;
    }
    if (!gather->listing)
        return NOTHING;
    u64 now = bpf_ktime_get_ns();
    if (now - gather->listed_ts < INVENTORY_PAUSE)
        return NOTHING;
    gather->listed_ts = now;
    clear_walk(gather, walk, flags);
    walk->batch = gather->mm;
    walk->last_slot = SYM_KSM_MM_HEAD;
    walk->last_item = 0;
    u64 slot = gather->listed_slot, mm = gather->listed_mm, at = gather->listed_item;
    if (slot == SYM_KSM_MM_HEAD || !is_listed(slot, mm) || is_unused(mm))
        return WALK; /* from the start, past those that were listed to their end */
    walk->slot = slot;
    struct visit *visit = visits.lookup(&mm);
    if (visit && visit->inventory == walk->inventory)
        return WALK;
    walk->mm = mm;
    put(walk, chunk, WORD_MM);
    put(walk, chunk, mm);
    READ_ITEM(item, at);
    if (at && ITEM_MM(item) == mm && PAGE_ADDRESS(ITEM_ADDRESS(item)) == gather->listed_address) {
        walk->item = ITEM_NEXT(item);
        walk->last_item = at;
        walk->expected = gather->listed_address | NO_RUN;
        put(walk, chunk, word_at(gather->listed_address, 1));
    } else {
        walk->item = load64(slot + MM_SLOT_RMAP_LIST);
    }
    return WALK;
}

static __always_inline void end_inventory(struct gather *gather, struct walk *walk,
                                          struct chunk *chunk)
{
    u64 since = gather->listed_since;
    if (walk->done && !walk->err) {
        if (since == gather->looks || gather->last_left < since) {
            gather->listing = 0;
            send_chunk(walk, chunk, GATHER_LAST);
            return;
        }
        /* Who left meanwhile may have been put in front of what was still to be listed. */
        gather->listed_since = ~0ULL;
        walk->slot = SYM_KSM_MM_HEAD;
        walk->mm = 0;
    }
    /* Torn: the mms that were not listed to their end are listed from the start. */
    gather->listed_slot = walk->err ? SYM_KSM_MM_HEAD : walk->slot;
    gather->listed_mm = walk->mm ? walk->mm : load64(walk->slot + MM_SLOT_MM);
    gather->listed_item = walk->last_item;
    gather->listed_address = PAGE_ADDRESS(walk->expected);
    walk->err = 0;
    send_chunk(walk, chunk, 0);
}

/* Where the walk over the batch that has ended begins. */
static __always_inline int begin_batch(struct gather *gather, struct walk *walk,
                                       struct chunk *chunk, u64 flags)
{
    u64 slot = gather->slot, mm = gather->mm, left = gather->left;
    if (slot == SYM_KSM_MM_HEAD) {
        flags |= GATHER_FROM_HEAD;
        gather->whole = 1;
    }
    clear_walk(gather, walk, flags);
    walk->err = gather->unsure ? GATHER_UNSURE : 0;
    gather->unsure = 0;
    walk->last_slot = gather->now_slot;
    walk->last_item = gather->now_link;
    if (gather->now_slot == SYM_KSM_MM_HEAD
        || gather->now_link == gather->now_slot + MM_SLOT_RMAP_LIST)
        walk->last_item = 0;
    if (gather->now_seqnr != gather->seqnr + (gather->now_slot == SYM_KSM_MM_HEAD)) {
        walk->err = GATHER_TORN; /* more than a batch has passed */
        return SEND;
    }
    if (slot == SYM_KSM_MM_HEAD)
        return WALK;
    if (left && slot == gather->now_slot)
        return SEND; /* its own chunk has told it */
    if (left || !is_listed(slot, mm)) {
        /* ksmd knew that nobody used it before that was seen; or nothing of it was mergeable. */
        if (!left)
            walk->err = GATHER_UNSURE;
        walk->flags |= GATHER_GONE;
        return WALK;
    }
    if (begin_list(walk, chunk, slot, mm, gather->link))
        return WALK;
    walk->err = GATHER_TORN;
    return SEND;
}

static __always_inline int begin_gathering(struct gather *gather, struct walk *walk,
                                           struct chunk *chunk)
{
    if (load64(SYM_KSM_RUN) & KSM_RUN_UNMERGE) {
        gather->reset = gather->synced;
        return NOTHING;
    }
    READ_WORDS(scan, SYM_KSM_SCAN, 4);
    u64 slot = scan[KSM_SCAN_MM_SLOT / 8], seqnr = scan[KSM_SCAN_SEQNR / 8], flags = GATHER_FIRST;
    gather->now_slot = slot;
    gather->now_link = scan[KSM_SCAN_RMAP_LIST / 8];
    gather->now_seqnr = seqnr;
    if (!gather->synced) {
        gather->synced = 1;
        gather->began = 0;
        take_cursor(gather);
        return begin_inventory(gather, walk, chunk);
    }
    int at_head = slot == SYM_KSM_MM_HEAD;
    if (gather->reset || seqnr < gather->seqnr
        || (at_head && seqnr == gather->seqnr && gather->slot != SYM_KSM_MM_HEAD)) {
        flags |= GATHER_RESET;
        gather->reset = 0;
        gather->whole = 0;
        gather->epoch++;
        gather->slot = SYM_KSM_MM_HEAD;
        gather->link = gather->now_link;
        gather->mm = 0;
        gather->left = 0;
        gather->seqnr = 0;
        if (at_head && !seqnr) {
            clear_walk(gather, walk, flags);
            return SEND;
        }
    }
    if (seqnr == gather->seqnr && slot == gather->slot
        && (at_head || gather->now_link == gather->link)) {
        gather->began = bpf_ktime_get_ns();
        gather->writes = tunable_writes_so_far();
        return begin_inventory(gather, walk, chunk);
    }
    return begin_batch(gather, walk, chunk, flags);
}

/* ksmd's own thread reads them: nothing can change between the pass and the reading. */
static __always_inline void submit_pass_end(u64 seqnr)
{
    submit_plain(SCAN_STOP, 0, seqnr);
    submit_sample(PAGES_SHARED, load64(SYM_KSM_PAGES_SHARED), AT_SCAN_STOP);
    submit_sample(PAGES_SHARING, load64(SYM_KSM_PAGES_SHARING), AT_SCAN_STOP);
    submit_sample(PAGES_UNSHARED, load64(SYM_KSM_PAGES_UNSHARED), AT_SCAN_STOP);
    submit_sample(EVENTS_LOST, events_lost(), AT_SCAN_STOP);
    submit_sample(RMAP_ITEMS, load64(SYM_KSM_RMAP_ITEMS), AT_SCAN_STOP | LAST_OF_SAMPLE);
}

static __always_inline void end_gathering(struct gather *gather, struct walk *walk,
                                          struct chunk *chunk)
{
    end_run(walk, chunk);
    if (walk->flags & GATHER_INVENTORY) {
        end_inventory(gather, walk, chunk);
        return;
    }
    int ended = gather->now_seqnr == gather->seqnr + 1;
    send_chunk(walk, chunk, GATHER_LAST | (ended ? GATHER_PASS_ENDED : 0));
    if (ended && gather->whole)
        submit_pass_end(gather->seqnr);
    gather->batch++;
    gather->began = 0;
    gather->writes = walk->writes;
    take_cursor(gather);
}

#ifdef WITH_BPF_LOOP
static long (*loop)(u32 count, void *callback, void *context, u64 flags) = (void *)181;

/* Tells of the next one of those that leave, if ksmd has not freed it. The slot keeps an mm that is
 * in the list. */
static __always_inline int ask_leaver(struct walk *walk, struct chunk *chunk)
{
    if (walk->bytes > (CHUNK_WORDS - WORDS_A_CALL) * sizeof(u64))
        send_chunk(walk, chunk, 0);
    struct leaver leaver;
    if (leavers.pop(&leaver))
        return end_walk(walk, 0);
    int again = leaver.asked == walk->batch + 1;
    if (!again) {
        if (!is_listed(leaver.slot, leaver.mm) || !is_unused(leaver.mm))
            return 0;
        put(walk, chunk, WORD_LINGERS);
        put(walk, chunk, leaver.mm);
        leaver.asked = walk->batch + 1;
    }
    leavers.push(&leaver, BPF_ANY);
    return again ? end_walk(walk, 0) : 0;
}

static __always_inline int gather_on(struct walk *walk, struct chunk *chunk)
{
    if (walk->asking)
        return ask_leaver(walk, chunk);
    if (!walk_on(walk, chunk))
        return 0;
    if (walk->flags & GATHER_INVENTORY)
        return 1;
    end_run(walk, chunk);
    walk->done = 0;
    walk->asking = 1;
    return 0;
}

int gather_next(u64 *ctx)
{
    int zero = 0;
    struct gather *gather = gathers.lookup(&zero);
    struct chunk *chunk = gather_chunks.lookup(&zero);
    return gather && chunk ? gather_on(&gather->walk, chunk) : 1;
}

static __always_inline void gather_all(void *ctx, struct gather *gather, struct chunk *chunk)
{
    struct walk *walk = &gather->walk;
    int inventory = walk->flags & GATHER_INVENTORY;
    loop(inventory ? CALLS_AN_INVENTORY : CALLS_A_BATCH + LEAVERS, (void *)CALLBACK, 0, 0);
    if (!walk->done && !inventory)
        walk->err = GATHER_CEILING;
    end_gathering(gather, walk, chunk);
}
#else
/* A program may jump to others 33 times, and the verifier follows each turn of a loop. */
BPF_PROG_ARRAY(gather_tails, 2);
#define ROUNDS 48
#define RUNS_OF_INVENTORY (CALLS_AN_INVENTORY / ROUNDS)
#define ROUNDS_OF_LEAVING 16

int gather_more(void *ctx)
{
    int zero = 0;
    struct gather *gather = gathers.lookup(&zero);
    struct chunk *chunk = gather_chunks.lookup(&zero);
    if (!gather || !chunk)
        return 0;
    struct walk *walk = &gather->walk;
#pragma clang loop unroll(disable)
    for (int round = 0; round < ROUNDS; round++)
        if (walk_on(walk, chunk))
            break;
    int inventory = (walk->flags & GATHER_INVENTORY) != 0;
    walk->runs++;
    if (!walk->done && (!inventory || walk->runs < RUNS_OF_INVENTORY)) {
        gather_tails.call(ctx, 0);
        if (!inventory)
            walk->err = GATHER_CEILING;
    }
    end_gathering(gather, walk, chunk);
    return 0;
}

static __always_inline void gather_all(void *ctx, struct gather *gather, struct chunk *chunk)
{
    gather_tails.call(ctx, 0);
    gather->walk.err = GATHER_CEILING;
    end_gathering(gather, &gather->walk, chunk);
}
#endif

static __always_inline int gather_batch(void *ctx)
{
    int zero = 0;
    struct gather *gather = gathers.lookup(&zero);
    struct chunk *chunk = gather_chunks.lookup(&zero);
    if (!gather || !chunk)
        return 0;
    submit_held(scan_state());
    gather->looks++;
    int todo = begin_gathering(gather, &gather->walk, chunk);
#ifdef WITH_BPF_LOOP
    if (todo == SEND) {
        gather->walk.asking = 1;
        todo = WALK;
    }
#endif
    if (todo == WALK)
        gather_all(ctx, gather, chunk);
    else if (todo == SEND)
        end_gathering(gather, &gather->walk, chunk);
    return 0;
}

/* In ksmd alone, as below: once a batch, before it; also where ksmd does not sleep between them. */
static __always_inline int on_kthread_should_stop(void *ctx)
{
    return gather_batch(ctx);
}

static __always_inline int is_in_ksm_scan_thread(u64 place)
{
    return place >= SYM_KSM_SCAN_THREAD && place < END_KSM_SCAN_THREAD;
}

/* ksm_scan_thread asks for the length of its sleep: the batch is over. Softirqs on top of ksmd ask
 * too, within a batch; they are told by the place to which the function returns. */
static __always_inline int on_msecs_to_jiffies(void *ctx, u64 stack)
{
    if (!is_in_ksm_scan_thread(load64(stack)))
        return 0;
    return gather_batch(ctx);
}
