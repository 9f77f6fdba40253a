"""`ksmtrace probemap`: where a kernel's inlined functions are, from its debug info."""

from __future__ import annotations

import argparse
import textwrap
from argparse import Namespace
from typing import TYPE_CHECKING

from ksmtrace.cli.files import check_input, output_name
from ksmtrace.cli.progress import progress

if TYPE_CHECKING:
    from ksmtrace.cli.options import Verbs
    from ksmtrace.probemap.format import Location, Site

_DESCRIPTION = """\
Read the debug info of a vmlinux and write a small file that says where the
functions of mm/ksm.c begin that the compiler inlined, and where their arguments
are. `ksmtrace live --probe-map FILE` then probes them on that build of the
kernel. Needs no root, and works on any machine.
"""

_EPILOG = """\
on Debian, it is in a package of about 1 GB, which need not be installed:
  apt-get download linux-image-$(uname -r)-dbg
  dpkg-deb --fsys-tarfile linux-image-*-dbg_*.deb |
      tar -x --wildcards './usr/lib/debug/boot/vmlinux*'
  ksmtrace probemap usr/lib/debug/boot/vmlinux-$(uname -r) -o FILE
"""


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "probemap",
        help="find inlined functions in a vmlinux with debug info",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("vmlinux", metavar="VMLINUX", help="the kernel, with debug info")
    parser.add_argument(
        "-o", dest="output", type=output_name, metavar="FILE", required=True, help="map to write"
    )
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Make the map and say what is in it; returns the exit status."""
    from ksmtrace.probemap.dwarf import make_map

    check_input(options.vmlinux, "vmlinux")
    with progress("reading"):
        made = make_map(options.vmlinux)
    made.save(options.output)
    print(f"{options.output}:")
    print(f"kernel {made.release or 'of unknown release'}, build {made.build_id}")
    for name, sites in made.functions.items():
        for site in sites:
            words = f"{name:28} {_describe(site)}"
            print(textwrap.fill(words, 79, subsequent_indent=" " * 29, break_on_hyphens=False))
    return 0


def _describe(site: Site) -> str:
    where = f"{site.symbol}+{site.offset:#x}" if site.offset or site.inlined else site.symbol
    places = [f"{name}={'?' if at is None else _place(at)}" for name, at in site.arguments.items()]
    return " ".join([where, *places])


def _place(location: Location) -> str:
    """As perf probe writes it; `%cx-40` is a value itself, register plus offset."""
    if location.kind == "memory":
        return f"{location.offset:+d}(%{location.register})"
    return f"%{location.register}" + (f"{location.offset:+d}" if location.offset else "")
