"""Makes a probe map from the debug info of a vmlinux.

Of all its compile units only that of mm/ksm.c is parsed.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator

from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.die import DIE

from ksmtrace.errors import KsmtraceError
from ksmtrace.probemap.arguments import ArgumentReader, name_of
from ksmtrace.probemap.format import MACHINE, ProbeMap, Site
from ksmtrace.probemap.vmlinux import DAMAGE, Function, Vmlinux, damaged

FUNCTIONS = (
    "cmp_and_merge_page",
    "try_to_merge_one_page",
    "replace_page",
    "break_cow",
    "break_ksm",
    "scan_get_next_rmap_item",
    "get_next_rmap_item",
    "should_skip_rmap_item",
    "ksm_next_page_pmd_entry",
    "remove_rmap_item_from_tree",
    "remove_node_from_stable_tree",
    "calc_checksum",
    "stable_tree_search",
    "stable_tree_insert",
    "stable_tree_append",
    "unstable_tree_search_insert",
    "try_to_merge_with_ksm_page",
    "try_to_merge_two_pages",
    "try_to_merge_with_zero_page",
    "write_protect_page",
)
"""Functions of mm/ksm.c that a map holds: those of them which the kernel has, and of which every
place where they begin is known."""

_ANCHOR = "__ksm_enter"
"""A function of mm/ksm.c that every kernel with KSM has, never inlined."""

_SOURCE = "mm/ksm.c"


def make_map(path: str | os.PathLike[str]) -> ProbeMap:
    """The probe map of a vmlinux with debug info; works on any machine, without root.

    Raises:
        KsmtraceError: the file is missing, no ELF file, damaged, without debug info, of another
            machine than x86-64, or has no mm/ksm.c.
    """
    with Vmlinux(path) as vmlinux:
        try:
            functions = _find_functions(vmlinux, _find_unit(vmlinux))
        except DAMAGE as error:
            raise damaged(vmlinux.path, error) from error
        return ProbeMap(vmlinux.build_id, vmlinux.release, MACHINE, functions)


def _find_unit(vmlinux: Vmlinux) -> CompileUnit:
    dwarf = vmlinux.dwarf
    anchor = vmlinux.address_of(_ANCHOR)
    if anchor is None:
        raise KsmtraceError(
            f"{vmlinux.path}: no {_SOURCE} in it: the kernel is built without CONFIG_KSM"
        )
    ranges = dwarf.get_aranges()
    offset = ranges.cu_offset_at_addr(anchor) if ranges is not None and ranges.entries else None
    if offset is not None:
        unit = dwarf.get_CU_at(offset)
        if _is_ksm(unit):
            return unit
    # Clang writes no .debug_aranges.
    for unit in dwarf.iter_CUs():
        if _is_ksm(unit):
            return unit
    raise KsmtraceError(f"{vmlinux.path}: no {_SOURCE} in its debug info")


def _is_ksm(unit: CompileUnit) -> bool:
    name = unit.get_top_DIE().attributes.get("DW_AT_name")
    return name is not None and f"/{name.value.decode(errors='replace')}".endswith(f"/{_SOURCE}")


def _find_functions(vmlinux: Vmlinux, unit: CompileUnit) -> dict[str, tuple[Site, ...]]:
    reader = ArgumentReader(vmlinux.dwarf, unit)
    sites: dict[str, dict[int, Site]] = defaultdict(dict)
    hidden = set()
    for routine in unit.iter_DIE_children(unit.get_top_DIE()):
        if routine.tag != "DW_TAG_subprogram" or reader.entry(routine) is None:
            continue
        for function, die in _wanted(routine):
            entry = reader.entry(die)
            enclosing = None if entry is None else vmlinux.function_at(entry)
            if entry is None or enclosing is None or not enclosing.unique:
                hidden.add(function)
            elif _begins_at(die, entry, enclosing):
                sites[function][entry] = _site(reader, routine, die, entry, enclosing)
    # A count at only some of the places where a function begins would be too low.
    return {
        function: tuple(site for _, site in sorted(sites[function].items()))
        for function in FUNCTIONS
        if function in sites and function not in hidden
    }


def _wanted(routine: DIE) -> Iterator[tuple[str, DIE]]:
    """Those of `FUNCTIONS` that the subprogram is or has inlined, with their DIEs."""
    stack = [routine]
    while stack:
        die = stack.pop()
        if die.tag in ("DW_TAG_subprogram", "DW_TAG_inlined_subroutine"):
            name = name_of(die)
            if name in FUNCTIONS:
                yield name, die
        if die.has_children:
            stack += [
                child
                for child in die.iter_children()
                if child.tag in ("DW_TAG_lexical_block", "DW_TAG_inlined_subroutine")
            ]


def _begins_at(die: DIE, entry: int, enclosing: Function) -> bool:
    if enclosing.freed:
        return False
    if die.tag == "DW_TAG_inlined_subroutine":
        return True
    # `.part.0` is the rest of a function whose beginning was inlined elsewhere.
    return enclosing.start == entry and ".part." not in enclosing.name


def _site(reader: ArgumentReader, routine: DIE, die: DIE, entry: int, enclosing: Function) -> Site:
    inlined = die.tag == "DW_TAG_inlined_subroutine"
    # A function that the compiler gave another signature has another name, as in `.isra.0`.
    plain = not inlined and enclosing.name == name_of(die)
    return Site(
        symbol=enclosing.name,
        offset=entry - enclosing.start,
        inlined=inlined,
        arguments=reader.convention(die) if plain else reader.arguments(routine, die, entry),
    )
