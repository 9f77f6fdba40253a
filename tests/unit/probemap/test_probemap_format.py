"""The file format of probe maps: what is written comes back, and all else is refused."""

import json
import os
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ksmtrace.errors import ExitStatus, KsmtraceError
from ksmtrace.probemap.format import REGISTERS, Location, LocationKind, ProbeMap, Site

BUILD = "eb4fbcd037e7253717950bf2b93bd5566f47c56f"
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.]{0,20}", fullmatch=True)
LOCATIONS = st.builds(
    Location,
    st.sampled_from(LocationKind),
    st.sampled_from(REGISTERS),
    st.integers(-(1 << 31), 1 << 31),
    st.integers(1, 8),
)
SITES = st.builds(
    Site,
    NAMES,
    st.integers(0, 1 << 31),
    st.booleans(),
    st.dictionaries(NAMES, st.none() | LOCATIONS, max_size=6),
)
MAPS = st.builds(
    ProbeMap,
    st.binary(min_size=4, max_size=64).map(bytes.hex),
    st.text(max_size=30),
    st.just("x86_64"),
    st.dictionaries(NAMES, st.lists(SITES, max_size=3).map(tuple), max_size=4),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def small_map():
    location = Location(LocationKind.MEMORY, "sp", 24, 8)
    site = Site("ksm_scan_thread", 1659, True, {"page": None, "rmap_item": location})
    return ProbeMap(BUILD, "6.1.0-56-amd64", "x86_64", {"cmp_and_merge_page": (site,)})


def document(tmp_path):
    small_map().save(tmp_path / "m")
    return json.loads((tmp_path / "m").read_text())


def refused(path, *words):
    with pytest.raises(KsmtraceError) as caught:
        ProbeMap.load(path)
    assert caught.value.status == ExitStatus.BAD_INPUT
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message


@SAME_FOLDER
@given(MAPS)
def test_round_trip(tmp_path, made):
    made.save(tmp_path / "m")
    assert ProbeMap.load(tmp_path / "m") == made


@SAME_FOLDER
@given(st.data())
def test_any_value_in_any_place_is_read_or_refused(tmp_path, data):
    """One value somewhere in a good map is replaced by anything: a map or one clear error, nothing
    else."""
    whole = document(tmp_path)
    place = whole
    while True:
        key = data.draw(
            st.sampled_from(list(place) if isinstance(place, dict) else range(len(place)))
        )
        if isinstance(place[key], dict | list) and data.draw(st.booleans()):
            place = place[key]
        else:
            place[key] = data.draw(JSON)
            break
    (tmp_path / "x").write_text(json.dumps(whole))
    try:
        read = ProbeMap.load(tmp_path / "x")
    except KsmtraceError:
        refused(tmp_path / "x")
    else:
        read.save(tmp_path / "y")
        assert ProbeMap.load(tmp_path / "y") == read


@SAME_FOLDER
@given(st.binary(max_size=300))
def test_any_bytes_are_refused(tmp_path, noise):
    (tmp_path / "x").write_bytes(noise)
    refused(tmp_path / "x")


@pytest.mark.parametrize("keep", [0, 1, 100, -3])
def test_a_cut_file_is_refused(tmp_path, keep):
    text = json.dumps(document(tmp_path))
    (tmp_path / "x").write_text(text[:keep])
    refused(tmp_path / "x", "not a usable probe map")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(version=2), ("version 2 is newer than 1", "upgrade ksmtrace")),
        (lambda d: d.update(version=True), ("version", "no integer")),
        (lambda d: d.pop("version"), ("version is missing",)),
        (lambda d: d.update(format="other"), ("ksmtrace-probemap",)),
        (lambda d: d.update(build_id="EB4F"), ("build_id",)),
        (lambda d: d.update(build_id=""), ("build_id",)),
        (lambda d: d.update(machine="aarch64"), ("aarch64", "x86_64")),
        (lambda d: d.update(functions=[]), ("functions is no object",)),
        (lambda d: d["functions"].update({"a b": []}), ("'a b'", "name of a function")),
        (lambda d: d["functions"].update(f={}), ("functions.f is no array",)),
        (lambda d: d["functions"].update(f=[3]), ("functions.f[0] is no object",)),
        (lambda d: site(d).update(offset=-1), ("[0].offset is out of range",)),
        (lambda d: site(d).update(offset=1.0), ("[0].offset is no integer",)),
        (lambda d: site(d).update(offset=True), ("[0].offset is no integer",)),
        (lambda d: site(d).update(inlined=1), ("inlined",)),
        (lambda d: site(d).update(symbol="a\nb"), ("symbol",)),
        (lambda d: site(d).pop("symbol"), ("symbol is missing",)),
        (lambda d: place(d).update(register="xmm0"), ("'xmm0'",)),
        (lambda d: place(d).update(kind="stack"), ("register, memory",)),
        (lambda d: place(d).update(kind="register", size_bytes=9), ("size_bytes",)),
        (lambda d: place(d).update(size_bytes=0), ("size_bytes",)),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path, change, words):
    whole = document(tmp_path)
    change(whole)
    (tmp_path / "x").write_text(json.dumps(whole))
    refused(tmp_path / "x", *words)


def site(whole):
    return whole["functions"]["cmp_and_merge_page"][0]


def place(whole):
    return site(whole)["arguments"]["rmap_item"]


def test_keys_of_later_versions_are_passed_over(tmp_path):
    whole = document(tmp_path)
    whole["made_by"] = site(whole)["note"] = place(whole)["signed"] = "something"
    (tmp_path / "x").write_text(json.dumps(whole))
    assert ProbeMap.load(tmp_path / "x") == small_map()


def test_depth_and_length_are_bounded(tmp_path):
    (tmp_path / "deep").write_text("[" * 100_000)
    refused(tmp_path / "deep")
    with (tmp_path / "long").open("wb") as file:
        file.truncate(1 << 40)
    refused(tmp_path / "long", "too large")


def test_missing_and_directory(tmp_path):
    refused(tmp_path / "none", "No such file")
    refused(tmp_path, "directory")


def test_another_build_is_refused():
    small_map().check(BUILD)
    for other in ("ab" * 20, ""):
        with pytest.raises(KsmtraceError) as caught:
            small_map().check(other)
        assert caught.value.status == ExitStatus.BAD_INPUT
        for word in (BUILD, other or "unknown", "ksmtrace probemap"):
            assert word in str(caught.value)
        assert "\n" not in str(caught.value)


def test_saving_replaces_as_a_whole(tmp_path, monkeypatch):
    """After a failure the old file is there unchanged, and nothing beside it."""
    small_map().save(tmp_path / "m")
    before = (tmp_path / "m").read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KsmtraceError, match=r"m: cannot write: No space left"):
        ProbeMap("ab" * 20, "", "x86_64", {}).save(tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == before
    assert os.listdir(tmp_path) == ["m"]


def test_mode_and_links(tmp_path):
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to("real")
    small_map().save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert ProbeMap.load(tmp_path / "real") == small_map()
    mask = os.umask(0o027)
    try:
        small_map().save(tmp_path / "new")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


@pytest.mark.parametrize("path", ["none/m", ".", "/dev/null", "file/m"])
def test_unwritable_places(tmp_path, path):
    (tmp_path / "file").touch()
    with pytest.raises(KsmtraceError) as caught:
        small_map().save(os.path.join(tmp_path, path))
    assert caught.value.status == ExitStatus.BAD_INPUT
    assert "\n" not in str(caught.value)


def test_bundled_maps(repository):
    """Those of the builds that the guests boot; known offsets of Debian's 6.1 and 6.12."""
    maps = {
        m.release: m for m in map(ProbeMap.load, (repository / "tests/data/probemaps").iterdir())
    }
    old, new = maps["6.1.0-56-amd64"], maps["6.12.107+deb13-amd64"]
    assert old.build_id == BUILD
    for probe_map, offset, stack in ((old, 0x67B, 24), (new, 0x374, 0)):
        (where,) = probe_map.functions["cmp_and_merge_page"]
        assert (where.symbol, where.offset, where.inlined) == ("ksm_scan_thread", offset, True)
        rmap_item = Location(LocationKind.MEMORY, "sp", stack, 8)
        assert where.arguments == {"page": None, "rmap_item": rmap_item}
    for probe_map, offset in ((old, 0xEB), (new, 0x157)):
        (where,) = probe_map.functions["replace_page"]
        assert (where.symbol, where.offset) == ("try_to_merge_one_page", offset)
        registers = {name: location.register for name, location in where.arguments.items()}
        assert registers == {"vma": "r13", "page": "bx", "kpage": "r12", "orig_pte": "ax"}
