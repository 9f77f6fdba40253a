"""The site of documents: it is built, every link and anchor leads somewhere, nothing is loaded."""

import html.parser
import re
import shutil

import pytest

from support.browser import browse
from tools import site


def copied(repository, to):
    """A copy of what the site is made of: builds side by side do not meet."""
    for part in (*site.PARTS, "mkdocs.yml"):
        (to / part).parent.mkdir(parents=True, exist_ok=True)
        source = repository / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, to / part)
    return to


def build_in(copy):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site, "REPOSITORY", copy)
        patch.setattr(site, "SOURCE", copy / "build/site-source")
        return site.build()


@pytest.fixture(scope="module")
def built(repository, tmp_path_factory):
    copy = copied(repository, tmp_path_factory.mktemp("site"))
    assert build_in(copy) == 0
    return copy / "build/site"


class Loads(html.parser.HTMLParser):
    """What a page loads by itself, and its links and anchors."""

    def __init__(self):
        super().__init__()
        self.loads, self.links, self.anchors = [], [], set()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag in ("script", "img", "iframe", "source") and found.get("src"):
            self.loads.append(found["src"])
        elif tag == "link" and found.get("rel") in ("stylesheet", "preconnect", "icon"):
            self.loads.append(found["href"])
        elif tag == "a" and found.get("href"):
            self.links.append(found["href"])


def read(page):
    found = Loads()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def test_every_document_is_in_it_and_in_its_navigation(built, repository):
    documents = [*repository.glob("*.md"), *(repository / "docs").glob("*.md")]
    navigation = (repository / "mkdocs.yml").read_text()
    for document in documents:
        name = document.relative_to(repository)
        page = built / ("index.html" if str(name) == "README.md" else name.with_suffix(".html"))
        assert page.exists(), name
        assert re.search(rf": {re.escape(str(name))}$", navigation, re.MULTILINE), name


def test_pages_load_nothing_from_elsewhere(built):
    for page in built.rglob("*.html"):
        assert [one for one in read(page).loads if re.match(r"(https?:)?//", one)] == [], page.name
    for style in built.rglob("*.css"):
        assert not re.search(r"url\((https?:)?//", style.read_text()), style.name


def test_every_link_of_the_pages_leads_somewhere(built):
    """As a browser sees them, MkDocs's own among them."""
    pages = {page: read(page) for page in built.rglob("*.html") if page.name != "404.html"}
    broken, followed = [], 0
    for page, found in pages.items():
        for link in found.links:
            path, _, anchor = link.partition("#")
            if "://" in path:
                continue
            target = (page.parent / path).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            known = target in pages or target.exists()
            if not known or (anchor and target in pages and anchor not in pages[target].anchors):
                broken.append(f"{page.name}: {link}")
            followed += 1
    assert broken == []
    assert followed > 1000


def test_pages_on_a_disk_are_searched(built, request, tmp_path):
    page = f"{(built / 'docs/WHERE.html').as_uri()}?q=madvise"
    shown = browse(request, tmp_path, page, "--virtual-time-budget=30000", "--dump-dom")
    found = re.findall(r'href="([^"]+)" class="md-search-result__link"', shown)
    assert any("MERGEABLE.html" in link for link in found), shown[:2000]


@pytest.mark.parametrize(
    "line", ["[gone](docs/GONE.md)", "[gone](docs/REFERENCE.md#gone)", "[gone](dashboards)"]
)
def test_a_broken_link_ends_the_build(line, tmp_path, repository, capsys):
    copy = copied(repository, tmp_path / "copy")
    readme = copy / "README.md"
    readme.write_text(f"{readme.read_text()}\n{line}\n")
    assert build_in(copy) != 0
    assert "README.md" in capsys.readouterr().err
