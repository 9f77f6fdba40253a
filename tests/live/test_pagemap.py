"""The snapshot of KSM pages, against pages that the test has merged itself."""

import pytest

from ksmtrace.kernel.pagemap import ksm_page_file, read_ksm_pages


def merged_and_known(ksm, processes):
    """Two processes: 30 equal pages each, 20 pairs across them, 10 unique ones each; then 5 are
    written to."""
    ksm.start_stepping()
    for index, name in enumerate(("left", "right")):
        processes.spawn(name)
        for region, pages, content in (
            ("equal", 30, "twin:1"),
            ("pairs", 20, "unique:9"),
            ("unique", 10, f"unique:{index + 50}"),
        ):
            processes.do(name, "map", region=region, pages=pages)
            processes.do(name, "fill", region=region, content=content)
            processes.do(name, "mergeable", region=region)
    ksm.scan(4)
    processes.do("left", "poke", region="equal", first=0, pages=5, offset=0, value=7)
    return processes.pids["left"], processes.pids["right"]


def check(ksm, processes):
    left, right = merged_and_known(ksm, processes)
    pages = read_ksm_pages()
    ours = {pid: int((pages.pid == pid).sum()) for pid in (left, right)}
    assert ours == {left: 25 + 20, right: 30 + 20}
    assert len(set(pages.pfn.tolist())) == 1 + 20 == ksm.counter("pages_shared")
    # what the snapshot does not have and the gauges still do: the pages written to since the last
    # pass
    stale = ksm.counter("pages_shared") + ksm.counter("pages_sharing") - len(pages.pid)
    assert stale == 5


@pytest.mark.live
def test_snapshot_here(ksm, processes):
    check(ksm, processes)
    assert ksm_page_file() == "kpageflags"


@pytest.mark.guest
def test_snapshot_in_a_guest(ksm, processes):
    """Also where KPF_KSM lies: then frames mapped more than once are taken, which is as right
    here."""
    check(ksm, processes)
    print("KSM pages told by", ksm_page_file())
