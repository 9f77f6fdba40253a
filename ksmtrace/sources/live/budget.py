"""When to measure what the probes take of ksmd, and when that is too much."""

from __future__ import annotations

SAMPLE_SECONDS = 0.5
"""How long a sample lasts: the kernel's count costs each run of a program a little."""

SAMPLES_IN_A_ROW = 3
"""So many samples above the limit, with none below it between them, end the stream.

One alone may be an inventory, or a burst of merges.
"""

FIRST_SECONDS = 1.0
"""From the begin of a run to that of its first sample."""

_EACH_SECONDS, _AGAIN_SECONDS = 30.0, 4.0


class Budget:
    """Counts samples above the limit, and says when the next one is due.

    A sample of which nothing is known counts for nothing. Once exceeded, it stays so.

    Attributes:
        exceeded: the stream is to end.
        ratio: the mean share of the samples above the limit that led to it.
    """

    def __init__(self, limit: float | None) -> None:
        """`limit` None: there is none, and samples are taken to be shown."""
        self.limit = limit
        self.exceeded = False
        self.ratio = 0.0
        self._above: list[float] = []

    def take(self, ratio: float | None) -> None:
        """Take in a sample: the share that the probes took, None where it is not known."""
        if self.limit is None or self.exceeded or ratio is None:
            return
        if ratio <= self.limit:
            self._above.clear()
            return
        self._above.append(ratio)
        if len(self._above) >= SAMPLES_IN_A_ROW:
            self.exceeded = True
            self.ratio = sum(self._above) / len(self._above)

    @property
    def wait_seconds(self) -> float:
        """Seconds from the end of one sample to the begin of the next."""
        return _AGAIN_SECONDS if self._above and not self.exceeded else _EACH_SECONDS
