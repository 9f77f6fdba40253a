/* Attempts to merge, and page table entries replaced. */

static __always_inline struct tried *tried_of(struct scan_state *state, u64 rmap_item)
{
    struct tried *tried = &state->tried[rmap_item != state->examined];
    tried->rmap_item = rmap_item;
    return tried;
}

static __always_inline void read_tried(struct tried *tried)
{
    struct item item;
    read_item(&item, tried->rmap_item);
    tried->mm = item_mm(&item);
    tried->address = PAGE_ADDRESS(item_address(&item));
}

/* The rmap_item is the one that ksmd examines, or, where it is to join the page that has just
 * become a KSM page, the partner of that out of the unstable tree. */
static __always_inline int on_try_to_merge_with_ksm_page(u64 rmap_item, u64 page, u64 kpage)
{
    struct scan_state *state = scan_state();
    if (!state)
        return 0;
    state->merging = rmap_item;
    state->merging_with = kpage;
    if (!state->examined)
        state->examined = under_examination(state->rmap_item);
    else if (!kpage || kpage != state->became_ksm)
        state->examined = rmap_item;
    state->became_ksm = 0;
    struct tried *tried = tried_of(state, rmap_item);
#ifdef TYPED_ON_TRY_TO_MERGE_WITH_KSM_PAGE
    tried->mm = MEMBER(rmap_item, RMAP_ITEM_MM);
    tried->address = PAGE_ADDRESS(MEMBER(rmap_item, RMAP_ITEM_ADDRESS));
#else
    read_tried(tried);
#endif
    return 0;
}

static __always_inline int on_try_to_merge_with_ksm_page_return(u64 result)
{
    struct scan_state *state = scan_state();
    if (state)
        state->merging = 0;
    return 0;
}

#ifdef WITH_PAGE_STATE
struct page_words {
    u64 words[STRUCT_PAGE_SIZE / 8];
};

static __always_inline u64 page_word(struct page_words *page, u64 offset)
{
    return page->words[offset / 8];
}

static __always_inline u32 page_half(struct page_words *page, u64 offset)
{
    return *(u32 *)((char *)page + offset);
}
#endif

/* Whether a page is part of a huge one. A tail has bit 0 of its word set; a head is known by the
 * tail that follows it. */
static __always_inline u8 is_compound(u64 page)
{
#ifdef WITH_COMPOUND
    u64 words[STRUCT_PAGE_SIZE / 8 + 1];
    read_bytes(words, sizeof(words), page + PAGE_COMPOUND_HEAD);
    return (words[0] | words[STRUCT_PAGE_SIZE / 8]) & 1;
#else
    return 0;
#endif
}

/* What a page is: 0 where this kernel's struct page is not known. The rest of a tail's word is the
 * head's address, or a mask that makes the head's of the tail's. */
static __always_inline u8 page_state(u64 page, u32 *references, u32 *mappings)
{
#ifdef WITH_PAGE_STATE
    u8 state = PAGE_STATE;
    struct page_words head;
    if (is_compound(page))
        state |= COMPOUND;
    read_bytes(&head, sizeof(head), page);
    u64 word = page_word(&head, PAGE_COMPOUND_HEAD);
    if (word & 1)
        read_bytes(&head, sizeof(head), word - 1 <= page ? word - 1 : page & word);
    if (page_word(&head, PAGE_FLAGS) & 1) /* PG_locked */
        state |= LOCKED;
    *references = page_half(&head, PAGE_REFCOUNT);
    *mappings = page_half(&head, PAGE_MAPCOUNT) + 1;
    return state;
#else
    return 0;
#endif
}

/* A trampoline's argument has a type, as has what is loaded from it, and the verifier no arithmetic
 * for either; what comes out of a map is a number. */
#ifdef WITH_HEAD_FLAG
#ifdef TYPED_ON_TRY_TO_MERGE_ONE_PAGE
#define TAIL_WORD(page) MEMBER(page, PAGE_COMPOUND_HEAD)
#define HEAD_WORD(page) (MEMBER(page, PAGE_FLAGS) >> PAGE_FLAG_HEAD)
#endif
#endif
#ifdef HEAD_WORD
static __always_inline u64 was_compound(struct scan_state *state, u64 page)
{
    volatile u64 *number = &state->was_compound;
    *number = TAIL_WORD(page);
    return (*number | HEAD_WORD(page)) & 1;
}
#else
static __always_inline u64 was_compound(struct scan_state *state, u64 page)
{
    return is_compound(*(volatile u64 *)&state->page);
}
#endif

static __always_inline int on_try_to_merge_one_page(u64 vma, u64 page, u64 kpage)
{
    struct scan_state *state = scan_state();
    if (!state)
        return 0;
    state->vma = vma;
    state->page = page;
    state->kpage = kpage;
    state->replacing = 0;
    state->was_compound = was_compound(state, page);
    return 0;
}

/* replace_page is inlined into try_to_merge_one_page; it ran and succeeded exactly when that
 * returns 0 for a KSM page other than the page itself (a fork's copy of a KSM page returns 0 at
 * once). */
static __always_inline void submit_attempt(struct scan_state *state, struct tried *tried,
                                           u8 zero_page, u64 result)
{
    u64 page = state->page, kpage = state->kpage, kpfn = page_to_pfn(state, kpage);
    struct ksm_event *event = &state->held.event;
#ifdef HOLDING
    struct ksm_event *first = &state->held.first;
    if (!kpage)
        event = first;
    if (!kpage || !first->kind || state->held.event.kind || first->pfn != kpfn)
        submit_held(state);
#else
    submit_held(state);
#endif
    __builtin_memset(event, 0, sizeof(*event));
    event->ts = bpf_ktime_get_ns();
    event->kind = TRY_TO_MERGE_ONE_PAGE;
    event->err = (s16)(int)result;
    event->rmap_item = tried->rmap_item;
    event->mm = tried->rmap_item ? tried->mm : read64(state->vma + VMA_MM);
    event->address = tried->address;
    event->pfn = page_to_pfn(state, page);
    event->aux = kpfn;
    u8 flags = (kpage ? HAS_KPAGE : 0) | (kpage == page ? SAME_PAGE : 0) | zero_page
               | mark_of_item(tried->rmap_item, state->examined);
    state->became_ksm = (s16)(int)result || kpage ? 0 : page;
    if (state->was_compound)
        flags |= WAS_COMPOUND;
    if ((s16)(int)result)
        flags |= page_state(page, &event->oldchecksum, &event->checksum);
    event->flags = flags;
#ifdef HOLDING
    if (!zero_page && !(s16)(int)result)
        return;
#endif
    submit_held(state);
#ifndef GATHERING
#ifdef WITH_REPLACE_PAGE
    int replaced = !(s16)(int)result && state->replacing;
#else
    int replaced = !(s16)(int)result && kpage && kpage != page;
#endif
    if (!replaced)
        return;
    event->kind = REPLACE_PAGE;
    event->flags = zero_page;
    submit_held(state);
#endif
}

/* Called outside of try_to_merge_with_ksm_page, kpage is the zero page, which is none that that
 * function is ever given. */
static __always_inline int on_try_to_merge_one_page_return(u64 result)
{
    struct scan_state *state = scan_state();
    if (!state)
        return 0;
    if (state->merging && state->kpage == state->merging_with) {
        submit_attempt(state, tried_of(state, state->merging), 0, result);
        return 0;
    }
    state->examined = under_examination(state->rmap_item);
    struct tried *tried = tried_of(state, state->examined);
    read_tried(tried);
    submit_attempt(state, tried, ZERO_PAGE, result);
    return 0;
}
