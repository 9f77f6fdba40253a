/* replace_page where it begins, as a function of its own or by a probe map. */

static __always_inline int on_replace_page(void)
{
    struct scan_state *state = scan_state();
    if (state)
        state->replacing = 1;
    return 0;
}
