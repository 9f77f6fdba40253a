"""Numbers of the kinds of events, for code that compares whole columns with them.

With an `EventKind` NumPy compares in 64 bits, which takes ten times as long as with a plain number,
and Python 3.11 looks a member of an enum up by a function.
"""

from ksmtrace.events.kinds import EventKind

CMP_AND_MERGE_PAGE = int(EventKind.CMP_AND_MERGE_PAGE)
TRY_TO_MERGE_ONE_PAGE = int(EventKind.TRY_TO_MERGE_ONE_PAGE)
REPLACE_PAGE = int(EventKind.REPLACE_PAGE)
BREAK_COW = int(EventKind.BREAK_COW)
STABLE_APPEND = int(EventKind.STABLE_APPEND)
REMOVE_RMAP_ITEM = int(EventKind.REMOVE_RMAP_ITEM)
REMOVE_STABLE_NODE = int(EventKind.REMOVE_STABLE_NODE)
SCAN_START = int(EventKind.SCAN_START)
SCAN_STOP = int(EventKind.SCAN_STOP)
MM_ENTER = int(EventKind.MM_ENTER)
MM_EXIT = int(EventKind.MM_EXIT)
PROCESS = int(EventKind.PROCESS)
SAMPLE = int(EventKind.SAMPLE)
LOST = int(EventKind.LOST)
SKIPPED = int(EventKind.SKIPPED)
COW_FAULT = int(EventKind.COW_FAULT)
SNAPSHOT = int(EventKind.SNAPSHOT)
TUNABLE = int(EventKind.TUNABLE)
PROCESS_TEXT = int(EventKind.PROCESS_TEXT)
PROCESS_SAMPLE = int(EventKind.PROCESS_SAMPLE)
TOTAL = int(EventKind.TOTAL)
PROBE_TIME = int(EventKind.PROBE_TIME)
STREAM_END = int(EventKind.STREAM_END)
