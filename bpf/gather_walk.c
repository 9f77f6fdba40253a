/* A walk over rmap_items, and the chunks that it fills. */

#ifdef WITH_BPF_LOOP
#define ITEMS_A_CALL 64
#else
#define ITEMS_A_CALL 16
#endif
#define WORDS_A_CALL (ITEMS_A_CALL * 4 + 16)

struct chunk {
    union {
        struct ksm_event header;
        u64 word[CHUNK_WORDS + 1]; /* the verifier does not know where the last pair begins */
    };
};

#define NO_RUN 0x800 /* in no rmap_item's address word */

struct walk {
    /* the list under way, and the item to come; mm 0: the list is passed over */
    u64 slot;
    u64 mm;
    u64 item;
    /* where the cursor stands: the slot, and the last item examined of it, 0 for none;
     * of an inventory, the last item listed */
    u64 last_slot;
    u64 last_item;
    /* address word of an item that would prolong the run; with NO_RUN, only where the next page
     * would be */
    u64 expected;
    u64 run; /* address of its first page, and its tag; 0 for none */
    u64 skips; /* of an item that was passed over: its state without the checksum */
    /* as a call of the loop began */
    u64 bytes_before;
    u64 run_before;
    u64 expected_before;
    /* the header's */
    u64 batch;
    u64 pass;
    u64 began;
    u64 flags;
    u64 err;
    u64 items;
    u64 bytes;
    u64 smart_scan;
    u64 writes; /* to tunables, so far */
    u64 sought; /* an mm that leaves, until its slot is found */
    u64 asking; /* the lists are walked: what lingers is asked for */
    /* of the pass, and of the inventory, by which visits are told from earlier ones */
    u64 mark;
    u64 inventory;
    u64 done;
    u64 runs; /* of a program that calls itself */
};

/* What was gathered of an mm last. An mm that is not there any more leaves its row to others. */
struct visit {
    u64 mark;
    u64 inventory;
    u64 left; /* looks at the cursor when it was last seen leaving */
    u64 told; /* the last item that was told of one that leaves, where ksmd was at it; else 0 */
    u64 slot; /* where it was then */
};
BPF_TABLE("lru_hash", u64, struct visit, visits, 16384);

/* An mm that leaves, until ksmd has freed it. */
struct leaver {
    u64 mm;
    u64 slot;
    u64 asked; /* the batch at whose end, and 1 */
};
#ifdef WITH_BPF_LOOP
#define LEAVERS 4096
BPF_QUEUE(leavers, struct leaver, LEAVERS);
#endif

static __always_inline struct visit *visit_of(u64 mm)
{
    struct visit *visit = visits.lookup(&mm);
    if (visit)
        return visit;
    struct visit fresh = {};
    visits.update(&mm, &fresh);
    return visits.lookup(&mm);
}

static __always_inline u64 *word_of_chunk(struct chunk *chunk, u64 place)
{
    return (u64 *)((char *)chunk + (place & (CHUNK_WORDS - 1) * sizeof(u64)));
}

static __always_inline void put(struct walk *walk, struct chunk *chunk, u64 word)
{
    u64 place = walk->bytes;
    *word_of_chunk(chunk, place) = word;
    walk->bytes = place + sizeof(u64);
}

static __always_inline void send_chunk(struct walk *walk, struct chunk *chunk, u64 flags)
{
    int zero = 0;
    struct producer *producer = producers.lookup(&zero);
    if (!producer)
        return;
    struct ksm_event *header = &chunk->header;
    header->ts = bpf_ktime_get_ns();
    header->seq = (u16)producer->seq++;
    header->cpu = (u16)bpf_get_smp_processor_id();
    header->kind = GATHERED;
    header->err = (s16)walk->err;
    header->flags = (u8)(walk->flags | flags);
    header->oldchecksum = (u32)walk->items;
    header->checksum = (u32)walk->smart_scan;
    header->mm = walk->batch;
    header->address = walk->pass;
    header->pfn = walk->began;
    header->rmap_item = 0;
    header->aux = 0;
#ifdef WITH_PAGES_SKIPPED
    header->rmap_item = load64(SYM_KSM_PAGES_SKIPPED);
#endif
#ifdef WITH_PAGES_SCANNED
    header->aux = load64(SYM_KSM_PAGES_SCANNED);
#endif
    u64 size = walk->bytes;
    if (size > CHUNK_WORDS * sizeof(u64))
        size = CHUNK_WORDS * sizeof(u64);
    if (events.ringbuf_output(chunk, size, BPF_RB_NO_WAKEUP))
        count_lost(producer, walk->items ? walk->items : 1);
    else
        producer->sent++;
    walk->flags &= ~(u64)(GATHER_FIRST | GATHER_RESET | GATHER_FROM_HEAD | GATHER_GONE);
    walk->items = 0;
    walk->bytes = HEADER_WORDS * sizeof(u64);
}

static __always_inline u64 pages_of_run(u64 run, u64 expected)
{
    return PAGE_NUMBER(expected) - PAGE_NUMBER(run);
}

static __always_inline u64 word_of_run(u64 run, u64 expected)
{
    return (run & 7) | pages_of_run(run, expected) << WORD_COUNT_SHIFT
           | PAGE_NUMBER(run) << WORD_PAGE_SHIFT;
}

static __always_inline void end_run(struct walk *walk, struct chunk *chunk)
{
    if (!walk->run)
        return;
    put(walk, chunk, word_of_run(walk->run, walk->expected));
    walk->run = 0;
    walk->expected = PAGE_ADDRESS(walk->expected) | NO_RUN;
}

/* Room for all words of a call; a chunk that begins within a list says where it is. */
static __always_inline void make_room(struct walk *walk, struct chunk *chunk)
{
    if (walk->bytes > (CHUNK_WORDS - WORDS_A_CALL) * sizeof(u64)) {
        end_run(walk, chunk);
        send_chunk(walk, chunk, 0);
        put(walk, chunk, WORD_MM);
        put(walk, chunk, walk->mm);
        put(walk, chunk, word_at(walk->expected, walk->flags & GATHER_INVENTORY ? 1 : 0));
    }
    if (walk->run && pages_of_run(walk->run, walk->expected) > WORD_COUNT_MOST - ITEMS_A_CALL)
        end_run(walk, chunk);
}

static __always_inline int end_walk(struct walk *walk, u64 err)
{
    if (err)
        walk->err = err;
    walk->done = 1;
    return 1;
}

/* At a list's end: the next one, or the end of the walk. */
static __always_inline int next_list(struct walk *walk, struct chunk *chunk)
{
    int inventory = walk->flags & GATHER_INVENTORY;
    if (walk->slot != SYM_KSM_MM_HEAD && walk->mm) {
        end_run(walk, chunk);
        put(walk, chunk, WORD_END);
        struct visit *visit = visit_of(walk->mm);
        if (visit)
            visit->slot = walk->slot;
        if (visit && inventory)
            visit->inventory = walk->inventory;
        else if (visit)
            visit->mark = walk->mark;
    }
    if (walk->flags & GATHER_LEAVING)
        return end_walk(walk, walk->last_item ? GATHER_TORN : 0);
    if (walk->slot == walk->last_slot && walk->slot != SYM_KSM_MM_HEAD)
        return end_walk(walk, walk->mm ? GATHER_TORN : 0); /* before the cursor's item came */
    u64 slot = load64(walk->slot + MM_SLOT_MM_NODE) - MM_SLOT_MM_NODE;
    if (slot == SYM_KSM_MM_HEAD)
        return end_walk(walk, walk->last_slot == SYM_KSM_MM_HEAD ? 0 : GATHER_TORN);
    u64 mm = load64(slot + MM_SLOT_MM);
    if (!mm)
        return end_walk(walk, GATHER_TORN);
    walk->slot = slot;
    walk->item = 0;
    walk->mm = 0;
    if (inventory)
        walk->last_item = 0;
    struct visit *visit = visits.lookup(&mm);
    int passed = visit
                 && (inventory ? visit->inventory == walk->inventory : visit->mark == walk->mark);
    if (inventory || !passed) {
        put(walk, chunk, WORD_MM);
        put(walk, chunk, mm);
    }
    if (passed)
        return 0;
    walk->mm = mm;
    walk->expected = NO_RUN;
    submit_process(mm);
    if (slot == walk->last_slot && !walk->last_item)
        return end_walk(walk, 0);
    walk->item = load64(slot + MM_SLOT_RMAP_LIST);
    return 0;
}

/* What changes from item to item is kept in memory: the verifier does not know what it is there, so
 * it need not follow each case. */
#define IN_MEMORY(member) (*(volatile u64 *)&(member))

/* So is an item's state, which few of the cases need. */
#ifdef WITH_AGES
static __always_inline int is_passed_over(struct walk *walk, u64 *state)
{
    return IN_MEMORY(walk->smart_scan) == GATHER_SMART_SCAN_ON && is_skipped(IN_MEMORY(*state));
}

static __always_inline void remember_skips(struct walk *walk, u64 *state)
{
    IN_MEMORY(walk->skips) = STATE_WITHOUT_CHECKSUM(IN_MEMORY(*state));
}

/* Whether an item whose word is the one expected is what the run is of. Neighbours mostly have one
 * age. */
static __always_inline int prolongs_run(struct walk *walk, u64 word, u64 *state)
{
    return word & TREE_FLAGS
           || STATE_WITHOUT_CHECKSUM(IN_MEMORY(*state)) == IN_MEMORY(walk->skips)
           || is_skipped(IN_MEMORY(*state));
}
#else
static __always_inline int is_passed_over(struct walk *walk, u64 *state)
{
    return 0;
}

static __always_inline void remember_skips(struct walk *walk, u64 *state)
{
}

static __always_inline int prolongs_run(struct walk *walk, u64 word, u64 *state)
{
    return 1;
}
#endif

/* What a call has written is undone if it comes to items that are not of the mm: these were among
 * the last that it read, and nobody knows how many. */
static __always_inline int undo_call(struct walk *walk)
{
    walk->bytes = walk->bytes_before;
    walk->run = walk->run_before;
    walk->expected = walk->expected_before;
    return end_walk(walk, GATHER_TORN);
}

/* The next few items of the list under way; 0 while there is more to walk. Whoever has left the
 * list does not come back to it, so that the last item's mm is every item's. */
static __always_inline int walk_items(struct walk *walk, struct chunk *chunk)
{
    u64 at = walk->item, next;
    u64 left = ITEMS_A_CALL;
    WORDS(item, FRONT_WORDS);
    walk->bytes_before = walk->bytes;
    walk->run_before = walk->run;
    walk->expected_before = walk->expected;
#pragma clang loop unroll(disable)
    for (;; at = next) {
        READ_INTO(item, at);
        u64 word = ITEM_ADDRESS(item), expected = IN_MEMORY(walk->expected);
        u64 *state = &ITEM_STATE(item);
        if (word == expected && prolongs_run(walk, word, state)) {
            IN_MEMORY(walk->expected) = expected + PAGE_BYTES;
            goto passed;
        }
        if (word + NO_RUN != expected || is_passed_over(walk, state)) {
            u64 tag = 0;
            if (word & KERNEL_STABLE_FLAG) {
                tag = WORD_STABLE;
            } else if (word & KERNEL_UNSTABLE_FLAG) {
                tag = WORD_UNSTABLE;
            } else if (is_passed_over(walk, state)) {
                tag = WORD_SKIPPED;
                remember_skips(walk, state);
            }
            if (PAGE_ADDRESS(word) < PAGE_ADDRESS(expected))
                return undo_call(walk);
            end_run(walk, chunk);
            if (tag) {
                IN_MEMORY(walk->run) = PAGE_ADDRESS(word) | tag;
                IN_MEMORY(walk->expected) = word + PAGE_BYTES;
                goto passed;
            }
            if (PAGE_ADDRESS(word) != PAGE_ADDRESS(expected))
                put(walk, chunk, word_at(word, 0));
            expected = PAGE_ADDRESS(word) | NO_RUN;
        }
        IN_MEMORY(walk->expected) = expected + PAGE_BYTES;
        u64 place = IN_MEMORY(walk->bytes);
        u64 *pair = word_of_chunk(chunk, place);
        pair[0] = packed_state(IN_MEMORY(*state));
        pair[1] = at;
        IN_MEMORY(walk->bytes) = place + 2 * sizeof(u64);
    passed:
        next = ITEM_NEXT(item);
        left--;
        OPAQUE(left); /* or the compiler counts it twice */
        if (at == IN_MEMORY(walk->last_item) || !left || !next)
            break;
    }
    if (ITEM_MM(item) != walk->mm)
        return undo_call(walk);
    walk->items += ITEMS_A_CALL - left;
    walk->item = next;
    return at == walk->last_item ? end_walk(walk, 0) : 0;
}

static __always_inline int list_items(struct walk *walk, struct chunk *chunk)
{
    u64 at = walk->item;
    int listed = 0;
#pragma clang loop unroll(disable)
    for (; listed < ITEMS_A_CALL; listed++) {
        if (!at)
            break;
        READ_WORDS(item, at, ITEM_WORDS);
        u64 word = ITEM_ADDRESS(item);
        if (ITEM_MM(item) != walk->mm) {
            walk->items += listed;
            return end_walk(walk, GATHER_TORN);
        }
        u64 stable = -(word / KERNEL_STABLE_FLAG & 1), place = IN_MEMORY(walk->bytes);
        OPAQUE(stable);
        u64 *pair = word_of_chunk(chunk, place);
        pair[0] = (word & ~0xffULL) | WORD_LONG;
        pair[1] = packed_state(ITEM_STATE(item));
        pair = word_of_chunk(chunk, place + 2 * sizeof(u64));
        pair[0] = ITEM_HEAD(item) & stable;
        pair[1] = at;
        IN_MEMORY(walk->bytes) = place + 4 * sizeof(u64);
        IN_MEMORY(walk->expected) = PAGE_ADDRESS(word) | NO_RUN;
        IN_MEMORY(walk->last_item) = at;
        at = ITEM_NEXT(item);
    }
    walk->items += listed;
    walk->item = at;
    return 0;
}

static __always_inline int walk_on(struct walk *walk, struct chunk *chunk)
{
    make_room(walk, chunk);
    if (!walk->item)
        return next_list(walk, chunk);
    if (walk->flags & GATHER_INVENTORY)
        return list_items(walk, chunk);
    return walk_items(walk, chunk);
}
