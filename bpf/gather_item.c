/* An rmap_item, read in one of two ways. */

#define TREE_FLAGS (KERNEL_STABLE_FLAG | KERNEL_UNSTABLE_FLAG)
#define ITEM_WORDS (RMAP_ITEM_HEAD / 8 + 1)
#define FRONT_WORDS                                                                                \
    (MORE(MORE(RMAP_ITEM_RMAP_LIST, RMAP_ITEM_MM), MORE(RMAP_ITEM_ADDRESS, RMAP_ITEM_OLDCHECKSUM)) \
         / 8                                                                                       \
     + 1) /* without ITEM_HEAD */

/* Words of an rmap_item by their place, as of an array. */
#define ITEM_NEXT(item) ((item)[RMAP_ITEM_RMAP_LIST / 8])
#define ITEM_MM(item) ((item)[RMAP_ITEM_MM / 8])
#define ITEM_ADDRESS(item) ((item)[RMAP_ITEM_ADDRESS / 8])
#define ITEM_STATE(item) ((item)[RMAP_ITEM_OLDCHECKSUM / 8]) /* checksum, age, remaining_skips */
#define ITEM_HEAD(item) ((item)[RMAP_ITEM_HEAD / 8])

#ifdef WITH_TYPED_LOADS
/* The verifier lets loads from a typed pointer be plain ones, which give 0 where they would fault.
 * The type is one whose first members are unsigned longs: so every member of an rmap_item is a
 * number, pointers too, with which the verifier lets us calculate. */
static u64 *(*rdonly_cast)(u64 address, u32 type) = (void *)(KFUNC_CALL | KFUNC_RDONLY_CAST);
#define WORDS(words, count) u64 *words
#define READ_INTO(words, at) words = rdonly_cast(at, TYPE_PT_REGS)
#else
#define WORDS(words, count) u64 words[count]
#define READ_INTO(words, at) bpf_probe_read_kernel(words, sizeof(words), (void *)(at))
#endif
#define READ_WORDS(words, at, count)                                                               \
    WORDS(words, count);                                                                           \
    READ_INTO(words, at)
#define READ_ITEM(item, at) READ_WORDS(item, at, FRONT_WORDS)

static __always_inline u64 load64(u64 at)
{
    READ_WORDS(words, at, 1);
    return words[0];
}

/* The compiler would make branches of what it knows of a number. */
#define OPAQUE(number) asm volatile("" : "+r"(number))

#ifdef WITH_AGES
#define STATE_AGE(state) ((state) >> 8 * (RMAP_ITEM_AGE - RMAP_ITEM_OLDCHECKSUM) & 0xff)
#define STATE_SKIPS(state) ((state) >> 8 * (RMAP_ITEM_SKIPS - RMAP_ITEM_OLDCHECKSUM) & 0xff)
#define STATE_WITHOUT_CHECKSUM(state) ((state) >> 32)

/* What skip_age (6.12) gives for an age of one less, a digit for each; the last is for all beyond.
 * It is looked up without a branch: each one would double what the verifier has to follow. */
#define SKIPS_OF_AGES 0x84442210000ULL
#define LAST_SKIP_AGE 10ULL

/* Whether should_skip_rmap_item (6.12) passed over the item when it was last asked. It counts the
 * age up; it sets remaining_skips to skip_age of the age before where it lets an item through, and
 * else counts it down from what skip_age gave for a smaller or equal age. */
static __always_inline int is_skipped(u64 state)
{
    u64 age = STATE_AGE(state), until = LAST_SKIP_AGE - age;
    OPAQUE(until);
    u64 beyond = (u64)((s64)until >> 63);
    u64 due = SKIPS_OF_AGES >> 4 * (LAST_SKIP_AGE & beyond | age & ~beyond) & 15;
    u64 other = STATE_SKIPS(state) ^ due, asked = due | -due;
    other |= -other;
    OPAQUE(asked);
    OPAQUE(other);
    return (int)((asked & other) >> 63);
}
#else
#define STATE_AGE(state) 0ULL
#define STATE_SKIPS(state) 0ULL

static __always_inline int is_skipped(u64 state)
{
    return 0;
}
#endif

static __always_inline u64 packed_state(u64 state)
{
#ifdef WITH_AGES
    if (RMAP_ITEM_AGE == RMAP_ITEM_OLDCHECKSUM + 4 && RMAP_ITEM_SKIPS == RMAP_ITEM_AGE + 1)
        return state << ITEM_CHECKSUM_SHIFT | (state >> 24 & 0xffff00);
#endif
    return state << ITEM_CHECKSUM_SHIFT | STATE_SKIPS(state) << ITEM_SKIPS_SHIFT
           | STATE_AGE(state) << ITEM_AGE_SHIFT;
}
