"""How UKSM finds its hash strength: costs and benefits, and the states of the search for it."""

from __future__ import annotations

from enum import Enum, auto

from ksmtrace.engine.uksm.page_hash import HASH_STRENGTH_MAX, HASH_STRENGTH_START

HASH_STRENGTH_DELTA_MAX = 5

_PROBE_AT = 10
"""The full scan, of every 256, at which the strength is probed whatever the costs."""


class Direction(Enum):
    """Where costs point to (judge_rshash_direction)."""

    STILL = auto()
    UP = auto()
    DOWN = auto()
    OBSCURE = auto()


class State(Enum):
    """States of the search."""

    NEW = auto()
    PRE_STILL = auto()
    STILL = auto()
    TRYDOWN = auto()
    TRYUP = auto()


class HashStrength:
    """The search for the strength that costs least (rshash_state, benefit).

    Attributes:
        strength: words to sample.
        state: of the search.
        pos: words that pages were not hashed to the full for, since the last `adjust`.
        neg: words that collisions cost, likewise; memcmps are converted.
    """

    def __init__(self) -> None:
        self.strength = HASH_STRENGTH_START
        self.state = State.NEW
        self.pos = 0
        self.neg = 0
        self._scanned_before = 0
        self._delta = 0
        self._zero_run = 0
        self._obscure_run = 0
        self._last = Direction.STILL
        self._stable_benefit = 0
        self._stable_point = 0
        self._turn_down = (0, 0)
        self._turn_up = (0, 0)
        self._window = 0
        self._below = 0
        self._neg_ratio = 0
        self._benefit = 0

    def adjust(self, pages_scanned: int, full_scans: int) -> bool:
        """Go one step of the search (rshash_adjust); returns whether the strength has changed.

        Args:
            pages_scanned: pages hashed so far.
            full_scans: full scans so far, this one included.
        """
        scanned = pages_scanned - self._scanned_before
        if not scanned:
            return False
        self._scanned_before = pages_scanned
        self._weigh(scanned)
        before = self.strength
        if self.state is State.STILL:
            self._still(full_scans)
        elif self.state is State.TRYDOWN:
            self._try_down(full_scans)
        elif self.state is State.TRYUP:
            self._try_up(full_scans)
        else:
            self._stable_benefit = self._benefit
            self.state = State.STILL
            self._delta = 0
        return self.strength != before

    def _weigh(self, scanned: int) -> None:
        # encode_benefit, get_current_neg_ratio, get_current_benefit
        pos, neg = self.pos, self.neg
        self.pos = self.neg = 0
        self._neg_ratio = 0 if not neg else 100 if neg > pos else neg * 100 // pos
        self._benefit = 0 if neg > pos else (pos - neg) // scanned

    def _direction(self, full_scans: int) -> Direction:
        # judge_rshash_direction
        if full_scans & 0xFF == _PROBE_AT:
            self._obscure_run = 0
            return Direction.OBSCURE
        if self._neg_ratio == 0:
            self._zero_run += 1
            return Direction.DOWN if self._zero_run > 2 else Direction.STILL
        self._zero_run = 0
        found = Direction.STILL
        if self._neg_ratio > 90:
            found = Direction.UP
        elif not self._stable_benefit:
            found = Direction.OBSCURE
        elif abs(self._benefit - self._stable_benefit) * 100 // self._stable_benefit > 50:
            self._obscure_run += 1
            return Direction.OBSCURE if self._obscure_run > 2 else Direction.STILL
        self._obscure_run = 0
        return found

    def _still(self, full_scans: int) -> None:
        found = self._direction(full_scans)
        if found is Direction.OBSCURE:
            self._stable_point = self.strength
            self._turn_down = self._turn_up = self.strength, self._benefit
            self._window = 0
            self.state = State.TRYDOWN
            self._down()
        elif found is not Direction.STILL:
            if {found, self._last} == {Direction.UP, Direction.DOWN}:
                self._delta = 0
            (self._up if found is Direction.UP else self._down)()
            self._stable_benefit = self._benefit
            self._last = found

    def _try_down(self, full_scans: int) -> None:
        self._open_window()
        if self._benefit < self._stable_benefit:
            self._below += 1
        elif self._benefit > self._turn_down[1]:
            self._turn_down = self.strength, self._benefit
        if self._below >= 3 or self._direction(full_scans) is Direction.UP or self.strength == 1:
            self.strength = self._stable_point
            self._delta = 0
            self._up()
            self._window = 0
            self.state = State.TRYUP
            self._delta = 0
        else:
            self._down()

    def _try_up(self, full_scans: int) -> None:
        self._open_window()
        if self._benefit < self._turn_down[1]:
            self._below += 1
        elif self._benefit > self._turn_up[1]:
            self._turn_up = self.strength, self._benefit
        if (
            self._below >= 3
            or self._direction(full_scans) is Direction.DOWN
            or self.strength == HASH_STRENGTH_MAX
        ):
            up_is_better = self._turn_up[1] > self._turn_down[1]
            self.strength = self._turn_up[0] if up_is_better else self._turn_down[0]
            self.state = State.PRE_STILL
        else:
            self._up()

    def _open_window(self) -> None:
        if self._window % 5 == 0:
            self._below = 0
        self._window += 1

    def _up(self) -> None:
        # inc_hash_strength, inc_hash_strength_delta
        self.strength = min(self.strength + (1 << self._delta), HASH_STRENGTH_MAX)
        self._delta = min(self._delta + 1, HASH_STRENGTH_DELTA_MAX)

    def _down(self) -> None:
        # dec_hash_strength, inc_hash_strength_delta
        change = 1 << self._delta
        self.strength = 1 if self.strength <= change + 1 else self.strength - change
        self._delta = min(self._delta + 1, HASH_STRENGTH_DELTA_MAX)
