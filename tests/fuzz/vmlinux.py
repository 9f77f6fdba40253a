"""Kernel images with debug information, of which probe maps are made: any file."""

import subprocess

from fuzz.common import documented, file_of, folder
from ksmtrace.probemap.dwarf import make_map

_SOURCE = """
struct page { long flags; };
volatile long sink;
static void cmp_and_merge_page(struct page *page, long *item) { sink = page->flags + *item; }
int ksm_scan_thread(struct page *page, long *item)
{
    cmp_and_merge_page(page, item);
    return sink;
}
int break_cow(long item) { return item + sink; }
int __ksm_enter(void) { return sink; }
void _start(void) { }
"""
_FLAGS = ("-g", "-O2", "-nostdlib", "-static", "-fno-pie", "-no-pie", "-Wl,--build-id")


def target(data):
    with documented:
        make_map(file_of(data))


def seeds():
    place = folder() / "mm"
    place.mkdir(exist_ok=True)
    (place / "ksm.c").write_text(_SOURCE)
    for name, more in (("dwarf5", ()), ("dwarf4", ("-gdwarf-4",)), ("plain", ("-s",))):
        here = f"-fdebug-prefix-map={place.parent}=."
        command = ["gcc", *_FLAGS, *more, here, "mm/ksm.c", "-o", "program"]
        subprocess.run(command, cwd=place.parent, check=True, timeout=60)
        yield name, (place.parent / "program").read_bytes()
