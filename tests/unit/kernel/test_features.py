"""Features of KSM, found on trees of files and types made for the test."""

import re

import pytest

from ksmtrace.kernel.features import FEATURES, Sign, has_feature


class Types:
    """BTF with these tracepoints and functions."""

    def __init__(self, *names):
        self.names = names

    def has_typedef(self, name):
        return name.removeprefix("btf_trace_") in self.names

    def function(self, name):
        return (1, 2) if name in self.names else None


def named(name):
    return next(feature for feature in FEATURES if feature.name == name)


@pytest.fixture
def root(tmp_path):
    """A host that has every file."""
    for feature in FEATURES:
        if feature.sign in (Sign.FILE, Sign.LINE):
            path = tmp_path / feature.where
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(f"other 1\n{feature.word} 2\n")
    return tmp_path


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_each_is_found_by_its_own_sign(feature, root, tmp_path_factory):
    types = Types(feature.where)
    assert has_feature(feature, types, root) is True
    bare = tmp_path_factory.mktemp("bare")
    assert has_feature(feature, Types(), bare) is False
    if feature.sign is Sign.FILE:
        (root / feature.where).unlink()
    elif feature.sign is Sign.LINE:
        (root / feature.where).write_text(f"x{feature.word}3\n")
    assert has_feature(feature, Types("other"), root) is False


def test_without_btf_some_cannot_be_told(root):
    unknown = {feature.name for feature in FEATURES if has_feature(feature, None, root) is None}
    assert unknown == {
        *("mmap_lock tracepoints", "PR_SET_MEMORY_MERGE", "ksm tracepoints", "page-table walk")
    }


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "proc/vmstat").mkdir(parents=True)
    assert has_feature(named("cow_ksm"), Types(), tmp_path) is None


def test_cow_ksm_is_not_taken_for_a_longer_name(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/vmstat").write_text("cow_ksm_not 1\n")
    assert has_feature(named("cow_ksm"), Types(), tmp_path) is False


def test_the_table():
    assert len({feature.name for feature in FEATURES}) == len(FEATURES)
    releases = []
    for feature in FEATURES:
        assert re.fullmatch(r"[0-9a-f]{12}|", feature.commit), feature
        assert feature.gives
        assert feature.where in feature.found_by
        releases.append(tuple(map(int, feature.introduced.split("."))))
    assert releases == sorted(releases)
