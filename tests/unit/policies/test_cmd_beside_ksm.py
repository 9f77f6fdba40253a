"""What docs/ENGINE.md says of CMD beside KSM is computed again."""

from math import log2

from tools.docs import cmd

_BY_PASS = "writes, each pass"


def test_cmd_beside_ksm_is_current():
    """`make docs` mends the table; what the text below it says follows from it."""
    text = cmd.DOCUMENT.read_text()
    assert text == cmd.with_table(text)
    said = " ".join(text.partition("<!-- end of cmd -->")[2].split())
    cells = [
        (cmd.run(name, kernel), cmd.run(name, relative, way))
        for name in cmd.WORKLOADS
        for kernel, relative in cmd.PAIRS.items()
        for way in cmd.WAYS
    ]
    best = max(_fewer(*cell) for cell in cells if cell[1].sharing >= 0.98 * cell[0].sharing)
    assert f"at most {best}% of the comparisons are saved, {68 - best} points short" in said
    four = {
        way: _fewer(cmd.run("cmd-guests", "ksm-4.4", times=4), cmd.run("cmd-guests", "cmd", way, 4))
        for way in ("subpages", "address")
    }
    assert f"`subpages` saves {four['subpages']}% of cmd-guests on ksm-4.4 instead of" in said
    assert f"and `address` {four['address']}% instead of" in said
    of = {pages: f"{4 / log2(pages):.0%}" for pages in (100, 1600, 10**6)}
    assert f"sixteen save {of[100]} in a tree of 100 pages, {of[1600]} in one of 1600" in said
    assert f"{of[10**6]} in one of a million" in said
    classes = [f"{pages**0.685:,.0f}" for pages in (1600, 10**6)]
    assert f"1600 pages would take {classes[0]} classes, one of a million {classes[1]}" in said
    by_chance = [
        (_fewer(plain, found), round(100 * found.sharing / plain.sharing))
        for plain, found in cells[4::5]
    ]
    fewest, shares = zip(*by_chance, strict=True)
    assert f"saves {min(fewest)} to {max(fewest)}%, with {min(shares)} to {max(shares)}%" in said
    settled = [cell for cell in cells[-10:] if cell not in cells[4::5]]
    assert {_fewer(*cell) for cell in settled} == {0}
    by_writes = _fewer(cmd.run("cmd-guests", "ksm-4.4"), cmd.run("cmd-guests", "cmd", _BY_PASS))
    assert f"{by_writes}% of cmd-guests by `writes`" in said
    lost = {
        way: 100 - round(100 * cmd.run("cmd-apart", "cmd", way).sharing / 639)
        for way in ("subpages", "writes")
    }
    assert f"loses {lost['subpages']}% of the sharing by `subpages` and {lost['writes']}%" in said


def _fewer(plain, found):
    return round(100 * (plain.comparisons - found.comparisons) / plain.comparisons)
