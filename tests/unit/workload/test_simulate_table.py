"""The table of `ksmtrace simulate`."""

from ksmtrace.cli.simulate import table
from ksmtrace.workload.on_kernel_snapshot import GAUGES


def document(groups=None, **counters):
    every = {gauge.name.lower(): 0 for gauge in GAUGES}
    return {
        "name": "w",
        "on": "engine",
        "variant": "ksm-6.18",
        "kernel": None,
        "snapshots": [{"step": 3, "name": "scan", "counters": every | counters, "groups": groups}],
    }


def test_only_columns_that_tell_something():
    assert table(document(full_scans=2, pages_shared=1, ksm_zero_pages=None)) == [
        "w on ksm-6.18",
        "step snapshot  scans shared",
        "   3 scan          2      1",
    ]


def test_eighty_columns_are_enough():
    shown = table(
        document(
            groups=[[f"process/region/{page}" for page in range(500)]],
            **{gauge.name.lower(): 4_194_304 for gauge in GAUGES},
        )
        | {"name": "long name " * 20}
    )
    assert max(map(len, shown)) <= 80
    assert shown[2].count("4.19M") == 9
    assert shown[3].startswith("      500 pages share: process/region/0, ")


def test_a_counter_that_is_missing_now_and_then():
    both = document(pages_skipped=5)
    both["snapshots"] += document(pages_skipped=None)["snapshots"]
    assert table(both)[1:] == [
        "step snapshot  skips",
        "   3 scan          5",
        "   3 scan          -",
    ]
