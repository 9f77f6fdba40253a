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


class Strength:
    """The search for a hash strength, fed by what one full scan cost."""

    def __init__(self):
        self.now, self.state, self.delta = 64, "new", 0
        self.zero_run = self.obscure_run = self.window = self.below = 0
        self.stable = self.point = 0
        self.last = ""
        self.down = self.up = (0, 0)

    def _toward(self, neg_percent, benefit, scans):
        if scans % 256 == 10:
            self.obscure_run = 0
            return "obscure"
        if neg_percent == 0:
            self.zero_run += 1
            return "down" if self.zero_run > 2 else ""
        self.zero_run = 0
        if neg_percent <= 90 and self.stable:
            if 100 * abs(benefit - self.stable) // self.stable > 50:
                self.obscure_run += 1
                return "obscure" if self.obscure_run > 2 else ""
            self.obscure_run = 0
            return ""
        self.obscure_run = 0
        return "up" if neg_percent > 90 else "obscure"

    def _move(self, direction):
        by = 2**self.delta
        if direction == "up":
            self.now = min(1034, self.now + by)
        else:
            self.now = self.now - by if self.now > by + 1 else 1
        self.delta = min(5, self.delta + 1)

    def scanned(self, pos, neg, pages, scans):
        """The strength after a full scan that hashed so many pages."""
        if neg > pos:
            percent, benefit = 100, 0
        else:
            percent, benefit = (100 * neg // pos if neg else 0), (pos - neg) // pages
        if self.state in ("new", "pre-still"):
            self.stable, self.delta, self.state = benefit, 0, "still"
        elif self.state == "still":
            found = self._toward(percent, benefit, scans)
            if found == "obscure":
                self.point, self.window, self.state = self.now, 0, "try down"
                self.down = self.up = (self.now, benefit)
                self._move("down")
            elif found:
                if self.last and found != self.last:
                    self.delta = 0
                self._move(found)
                self.stable, self.last = benefit, found
        else:
            self._try(percent, benefit, scans, down=self.state == "try down")
        return self.now

    def _try(self, percent, benefit, scans, *, down):
        if self.window in range(0, 10**6, 5):
            self.below = 0
        self.window += 1
        if benefit < (self.stable if down else self.down[1]):
            self.below += 1
        elif down and benefit > self.down[1]:
            self.down = (self.now, benefit)
        elif not down and benefit > self.up[1]:
            self.up = (self.now, benefit)
        back = self.below >= 3
        back = back or self._toward(percent, benefit, scans) == ("up" if down else "down")
        back = back or self.now == (1 if down else 1034)
        if not back:
            self._move("down" if down else "up")
        elif down:
            self.now = min(1034, self.point + 1)
            self.delta, self.window, self.state = 0, 0, "try up"
        else:
            self.now = self.up[0] if self.up[1] > self.down[1] else self.down[0]
            self.state = "pre-still"
