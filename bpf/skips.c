/* Whether smart scan (6.7) has passed over a page since it was last asked: it counts each in
 * ksm_pages_skipped, and then takes it out of its tree. */

static __always_inline int passed_over(u64 *known)
{
    u64 skipped = read64(SYM_KSM_PAGES_SKIPPED);
    int more = skipped != *known;
    *known = skipped;
    return more;
}
