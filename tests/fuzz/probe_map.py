"""Probe maps: any file."""

from fuzz.common import documented, file_of, folder
from ksmtrace.probemap.format import Location, LocationKind, ProbeMap, Site


def target(data):
    with documented:
        ProbeMap.load(file_of(data)).save(folder() / "saved")


def seeds():
    path = folder() / "seed"
    places = {"page": Location(LocationKind.MEMORY, "sp", 24, 8), "rmap_item": None}
    sites = (Site("ksm_scan_thread", 1659, True, places),)
    ProbeMap("ab" * 20, "6.1.0", "x86_64", {"cmp_and_merge_page": sites}).save(path)
    yield "one-site", path.read_bytes()
