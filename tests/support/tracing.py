"""Traces this kernel around a piece of code, in the process of the test."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

from ksmtrace.events import EventBatch, EventKind
from ksmtrace.pipeline.manager import build_manager
from ksmtrace.pipeline.options import RunOptions
from ksmtrace.pipeline.runner import Runner
from ksmtrace.sources.live.opening import LiveOptions
from ksmtrace.sources.live.source import LiveSource


class Gated:
    """A live source that lets the workload begin after the first reading, and ends when it is
    done."""

    def __init__(
        self,
        source: LiveSource,
        workload: Callable[[], None],
        seen: Callable[[EventBatch], None] | None = None,
    ) -> None:
        self.session = source.session
        self._source = source
        self._workload = workload
        self._seen = seen
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        try:
            self._workload()
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self._error = error
        finally:
            self._source.stop()

    def batches(self) -> Iterator[EventBatch]:
        for batch in self._source.batches():
            yield batch
            if self._seen is not None:
                self._seen(batch)
            if self._thread.ident is None and len(batch.of(EventKind.SAMPLE)):
                self._thread.start()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        self._source.stop()

    def close(self) -> None:
        self._source.close()


def trace(
    workload: Callable[[], None],
    *,
    record: str | None = None,
    textfile: str | None = None,
    seen: Callable[[EventBatch], None] | None = None,
    **live: Any,
) -> dict[str, Any]:
    """The JSON document of a live run around `workload`, made with every built-in plugin.

    `seen` is called with each batch.
    """
    # an emulated processor is slow, and these tests are of what is read, not of how fast
    live.setdefault("give_up", 900.0)
    source = Gated(LiveSource.open(LiveOptions(**live)), workload, seen)
    options = RunOptions(record=record, textfile=textfile)
    return Runner(source, build_manager(), options, fail_fast=True).run().document
