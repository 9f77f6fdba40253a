"""UKSM's hash and its judging once more, as its description has them: slow, and of its own make."""


def sampled_hash(page, order, strength):
    """The hash of a page by so many words of `order`, which begins again at its end."""
    value = 0xDEADBEEF
    for number in range(strength):
        at = 4 * order[number % len(order)]
        value = (value + int.from_bytes(page[at : at + 4], "little")) % 2**32
        value = (value + value * 256) % 2**32
        value = value ^ (value // 4096)
    return value


def stepped_back(value, page, order, strength, to):
    """What `sampled_hash` at strength `to` was, from that at a higher one: word by word undone."""
    for number in reversed(range(to, strength)):
        top = value >> 20
        middle = (value >> 8 ^ top) & 0xFFF
        value = top << 20 | middle << 8 | (value ^ middle >> 4) & 0xFF
        value = value * pow(257, -1, 2**32) % 2**32
        at = 4 * order[number % len(order)]
        value = (value - int.from_bytes(page[at : at + 4], "little")) % 2**32
    return value


def verdict(*, rung, top, whole, merged, cowed, visits, abundant, thrash):
    """The rung on which a slot stands after it was judged."""
    if whole and thrash:
        return 0
    rate = merged
    if merged and thrash:
        rate = 0 if 100 * cowed // merged > thrash else merged - cowed
    percent = 100 * rate // visits if visits else 0
    if percent and percent >= abundant:
        return min(rung + 1, top)
    return max(rung - 1, 0)


def walk(sizes, start, step):
    """The pages that one round over slots of these sizes visits, as (slot, page).

    Every `step`-th page counts, but where that is the first of the slot next to the one just
    visited, the one a step further is taken.
    """
    pages = [(slot, page) for slot, size in enumerate(sizes) for page in range(size)]
    visited, at = [], start
    while at < len(pages):
        visited.append(pages[at])
        following = pages[at][0] + 1
        at += step
        if at < len(pages) and pages[at] == (following, 0):
            at += step
    return visited
