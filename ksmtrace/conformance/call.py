"""The records of one call of cmp_and_merge_page, taken in order, or a mismatch."""

from __future__ import annotations

from ksmtrace.conformance.rules import Rule
from ksmtrace.events import EventKind
from ksmtrace.events.row import EventRow


class Mismatch(Exception):  # noqa: N818 - it is no error, but how a comparison ends
    """The kernel did not do what the engine expected.

    Attributes:
        rule: the rule that it did not keep.
        event: the record that shows it.
        kernel, engine: what the kernel did, and what the engine expected; both continue a sentence.
    """

    def __init__(self, rule: Rule, event: EventRow, kernel: str, engine: str) -> None:
        super().__init__(kernel)
        self.rule = rule
        self.event = event
        self.kernel = kernel
        self.engine = engine


class CallRecords:
    """The records of a call that have not been taken yet.

    Args:
        records: what ksmd did since the candidate before.
        closing: the CMP_AND_MERGE_PAGE record that ends them.
    """

    def __init__(self, records: list[EventRow], closing: EventRow) -> None:
        self._records = records
        self._at = 0
        self._closing = closing

    def peek(self) -> EventRow:
        """The next record, at the end the closing one."""
        return self._records[self._at] if self._at < len(self._records) else self._closing

    def take(self, kind: EventKind, key: int | None = None) -> EventRow | None:
        """The next record if it is of this kind, and of rmap_item `key` where that is given."""
        event = self.peek()
        if event.kind != kind or (key is not None and event.rmap_item != key):
            return None
        self._at += 1
        return event

    def expect(self, kind: EventKind, key: int, rule: Rule) -> EventRow:
        """The next record.

        Raises:
            Mismatch: it is another one.
        """
        event = self.take(kind, key)
        if event is None:
            found = self.peek()
            went_on = "went on" if found is self._closing else f"came to {found.in_words()}"
            raise Mismatch(rule, found, went_on, f"{kind.name} of rmap_item {key:#x}")
        return event

    def check_end(self) -> None:
        """Nothing may be left.

        Raises:
            Mismatch: something is.
        """
        event = self.peek()
        if event is not self._closing:
            rule = Rule.TWO_HALVES if event.kind == EventKind.BREAK_COW else Rule.ORDER
            raise Mismatch(rule, event, f"came to {event.in_words()}", "to be done with the page")

    def rest(self) -> list[EventRow]:
        """What is left."""
        return self._records[self._at :]
