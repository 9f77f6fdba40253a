"""`ksmtrace report` as a user runs it, and its page in a real browser without a network."""

import base64
import hashlib
import html
import json
import os
import re

import pytest

from support import browser
from support.command import assert_one_line, ksmtrace


@pytest.fixture(scope="module")
def page(bundled_capture, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    ran = ksmtrace("report", bundled_capture, "-o", path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.fullmatch(r".*report\.html: \d+ sections, \d+ charts, \d+ KiB\n", ran.stdout)
    return path


@pytest.fixture
def browse(request, page, tmp_path):
    """Runs Chromium on the page; returns what it prints, once nothing is wrong on its console."""

    def run(*switches, of=page):
        return browser.browse(request, tmp_path / "profile", of.as_uri(), *switches)

    return run


def test_what_concludes_stands_first(bundled_capture):
    told = ksmtrace("report", bundled_capture).stdout
    titles = ("Is KSM worth it?", "What to do?", "What does scanning cost?")
    places = [told.index(title) for title in titles]
    assert places == sorted(places)
    assert set(re.findall(r".*\?$", told, re.MULTILINE)[:2]) == set(titles[:2])


def test_every_chart_is_drawn_in_a_browser(browse):
    dom = browse("--dump-dom")
    charts = re.findall(r'<figure class="chart">(.*?)</figure>', dom, re.DOTALL)
    assert len(charts) >= 5
    for chart in charts:
        drawings = re.findall(r"<svg.*?</svg>", chart, re.DOTALL)
        assert len(drawings) == 2
        for drawing in drawings:
            assert len(re.findall(r'role="graphics-symbol".*?<title>', drawing, re.DOTALL)) > 0
            assert re.search(r'class="mark-(line|rect|bar)', drawing)


@pytest.mark.parametrize("size", [(1000, 3000), (390, 3000)])
def test_it_can_be_looked_at_wide_and_on_a_phone(browse, tmp_path, size):
    picture = tmp_path / "page.png"
    browse(f"--window-size={size[0]},{size[1]}", f"--screenshot={picture}")
    png = picture.read_bytes()
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20]) == max(size[0], 500) or size[0] < 500
    assert len(png) > 30_000


def test_tables_are_sorted_and_searched_in_the_browser(browse, page, tmp_path):
    """What the page's own script makes of it, asked by one that stands in for a user."""
    asks = """
      const shared = [...document.querySelectorAll("table")].find(
        (table) => table.tBodies[0].rows.length > 5);
      const rows = () => [...shared.tBodies[0].rows];
      const column = (at) => rows().map((row) => row.cells[at].textContent);
      const at = [...shared.tHead.rows[0].cells].findIndex((head) => head.textContent === "age");
      const said = { before: column(at), all: shared.tBodies[0].rows.length };
      const button = shared.tHead.rows[0].cells[at].firstElementChild;
      button.click(); said.down = column(at);
      button.click(); said.up = column(at);
      said.order = shared.tHead.rows[0].cells[at].ariaSort;
      const input = document.querySelector(".find input");
      const last = shared.tBodies[0].rows[0].textContent;
      input.value = last.toUpperCase(); input.dispatchEvent(new Event("input"));
      said.shown = rows().filter((row) => !row.hidden).map((row) => row.textContent);
      said.wanted = last; said.found = document.querySelector(".find output").textContent;
      document.title = JSON.stringify(said);
    """
    digest = base64.b64encode(hashlib.sha256(asks.encode()).digest()).decode()
    asked = page.read_text().replace("script-src '", f"script-src 'sha256-{digest}' '")
    other = tmp_path / "asked.html"
    other.write_text(asked.replace("</body>", f"<script>{asks}</script></body>"))
    dom = browse("--dump-dom", of=other)
    said = json.loads(html.unescape(re.search(r"<title>(.*?)</title>", dom).group(1)))
    assert said["order"] == "ascending"
    assert said["up"] == said["down"][::-1] != said["down"]
    assert sorted(said["before"]) == sorted(said["up"])
    assert len(said["up"]) == said["all"] > 5
    seconds = [float(age.removesuffix(" s")) for age in said["up"]]
    assert seconds == sorted(seconds)
    assert said["shown"] == [said["wanted"]]
    assert said["found"] == f"1 of {said['all']} rows"


def test_it_can_be_printed(browse, tmp_path):
    paper = tmp_path / "page.pdf"
    browse(f"--print-to-pdf={paper}")
    assert paper.read_bytes().startswith(b"%PDF")


def test_the_text_is_for_80_columns(bundled_capture):
    ran = ksmtrace("report", bundled_capture)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert max(map(len, ran.stdout.splitlines())) <= 80
    assert "\x1b" not in ran.stdout
    for part in (
        "567 KSM pages stand for 1,419",
        "How long merges take and last",
        "agreed with the kernel at 40",
    ):
        assert part in ran.stdout


def test_json_is_that_of_replay(bundled_capture):
    report = json.loads(ksmtrace("report", bundled_capture, "--json").stdout)
    replay = json.loads(ksmtrace("replay", bundled_capture, "--json").stdout)
    assert report == replay


def test_it_is_written_again_but_never_over_something_else(bundled_capture, page, tmp_path):
    assert ksmtrace("report", bundled_capture, "-o", page).returncode == 0
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    ran = ksmtrace("report", bundled_capture, "-o", other)
    assert_one_line(ran, 2, "notes.txt", "is no report of ksmtrace", "-o")
    assert other.read_text() == "mine"


def test_bad_input_leaves_nothing(tmp_path):
    (tmp_path / "c").write_text("no capture")
    ran = ksmtrace("report", tmp_path / "c", "-o", tmp_path / "r.html")
    assert_one_line(ran, 2, str(tmp_path / "c"))
    assert list(tmp_path.iterdir()) == [tmp_path / "c"]


@pytest.mark.parametrize("library", ["vl_convert", "jinja2"])
def test_a_missing_library_is_said_in_one_line(bundled_capture, tmp_path, library):
    (tmp_path / f"{library}.py").write_text(f"raise ModuleNotFoundError('none', name={library!r})")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = ksmtrace("report", bundled_capture, "-o", tmp_path / "r.html", env=environment)
    assert_one_line(ran, 3, library, "pip install 'ksmtrace[report]'", "leave out -o")
    assert ksmtrace("report", bundled_capture, env=environment).returncode == 0
