/* An rmap_item, read at once: a read costs ksmd ninety instructions, however little it reads. */

#define ITEM_BEGIN                                                                                 \
    (LESS(LESS(RMAP_ITEM_MM, RMAP_ITEM_ADDRESS), LESS(RMAP_ITEM_OLDCHECKSUM, RMAP_ITEM_HEAD)) & ~7)
#define ITEM_END                                                                                   \
    (MORE(MORE(RMAP_ITEM_MM, RMAP_ITEM_ADDRESS), MORE(RMAP_ITEM_OLDCHECKSUM & ~7, RMAP_ITEM_HEAD)) \
     + 8)

struct item {
    u64 words[(ITEM_END - ITEM_BEGIN) / 8];
};

static __always_inline void read_item(struct item *item, u64 rmap_item)
{
    read_bytes(item, sizeof(*item), rmap_item + ITEM_BEGIN);
}

static __always_inline u64 item_mm(struct item *item)
{
    return item->words[(RMAP_ITEM_MM - ITEM_BEGIN) / 8];
}

/* The page's address, with the flags of the trees in its low bits. */
static __always_inline u64 item_address(struct item *item)
{
    return item->words[(RMAP_ITEM_ADDRESS - ITEM_BEGIN) / 8];
}

static __always_inline u32 item_oldchecksum(struct item *item)
{
    return *(u32 *)((char *)item + (RMAP_ITEM_OLDCHECKSUM - ITEM_BEGIN));
}

static __always_inline u64 item_head(struct item *item)
{
    return item->words[(RMAP_ITEM_HEAD - ITEM_BEGIN) / 8];
}
