"""Finds in DWARF where a function begins, and where its arguments are at that place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.die import DIE, AttributeValue
from elftools.dwarf.dwarf_expr import DWARFExprOp, DWARFExprParser
from elftools.dwarf.dwarfinfo import DWARFInfo
from elftools.dwarf.locationlists import (
    BaseAddressEntry,
    LocationEntry,
    LocationExpr,
    LocationParser,
)
from elftools.dwarf.ranges import BaseAddressEntry as RangeBase

from ksmtrace.probemap.expressions import Address, base_of, locate
from ksmtrace.probemap.format import Location, LocationKind
from ksmtrace.probemap.frames import Frames

_WORD_BYTES = 8
_MOST_LINKS = 32
_CONVENTION = ("di", "si", "dx", "cx", "r8", "r9")


class ArgumentReader:
    """Reads entries and argument locations out of one compile unit."""

    def __init__(self, dwarf: DWARFInfo, unit: CompileUnit) -> None:
        self._dwarf = dwarf
        self._unit = unit
        self._base = int(_value(unit.get_top_DIE(), "DW_AT_low_pc") or 0)
        self._frames = Frames(dwarf)
        self._locations = LocationParser(dwarf.location_lists())
        self._expressions = DWARFExprParser(unit.structs)

    def entry(self, die: DIE) -> int | None:
        """The address at which a function, or an inlined instance of one, begins.

        None if DWARF does not have it.

        The lowest address of an inlined instance is often an instruction that was moved up, run on
        other paths too.
        """
        low = _value(die, "DW_AT_low_pc")
        entry = die.attributes.get("DW_AT_entry_pc")
        if entry is not None:
            if entry.form.startswith("DW_FORM_addr"):
                return int(entry.value)
            return None if low is None else int(low + entry.value)
        if low is not None or die.tag == "DW_TAG_inlined_subroutine":
            return None if low is None else int(low)
        return self._first_range(die)

    def arguments(self, routine: DIE, die: DIE, pc: int) -> dict[str, Location | None]:
        """Where each argument of `die` is when the CPU is at `pc`, in the order of the prototype.

        Args:
            routine: the subprogram with machine code of its own, which is `die` or contains it.
            die: the function, or an instance of it that was inlined.
            pc: the address at which it begins.
        """
        view = _value(die, "DW_AT_GNU_entry_view") or 0
        cfa = self._frames.cfa_at(pc)
        frame = self._frame_base(routine, cfa)
        here = {origin_of(child).offset: child for child in _parameters(die)}
        found: dict[str, Location | None] = {}
        for parameter in _parameters(origin_of(die)):
            name, concrete = name_of(parameter), here.get(parameter.offset)
            if name:
                ops = None if concrete is None else self._location_at(concrete, pc, view)
                found[name] = None if ops is None else locate(ops, frame, cfa, size_of(parameter))
        return found

    def convention(self, die: DIE) -> dict[str, Location | None]:
        """Where a caller puts the arguments of a function, by the calling convention of x86-64."""
        found: dict[str, Location | None] = {}
        registers = list(reversed(_CONVENTION))
        for parameter in _parameters(origin_of(die)):
            size = size_of(parameter)
            if not 0 < size <= _WORD_BYTES:
                # Larger ones take two registers or memory, by what is in them; so those after them
                # are unknown too.
                registers.clear()
            register = registers.pop() if registers else None
            name = name_of(parameter)
            if name:
                found[name] = (
                    Location(LocationKind.REGISTER, register, 0, size) if register else None
                )
        return found

    def _frame_base(self, routine: DIE, cfa: Address | None) -> Address | None:
        attribute = routine.attributes.get("DW_AT_frame_base")
        if attribute is None or attribute.form != "DW_FORM_exprloc":
            return None
        return base_of(self._expressions.parse_expr(attribute.value), cfa)

    def _location_at(self, die: DIE, pc: int, view: int) -> list[DWARFExprOp] | None:
        attribute = die.attributes.get("DW_AT_location")
        if attribute is None:
            return None
        found = self._locations.parse_from_attribute(attribute, self._unit["version"], die)
        if isinstance(found, LocationExpr):
            return self._expressions.parse_expr(found.loc_expr)
        views = self._views(die)
        base = self._base
        for entry in found:
            if isinstance(entry, BaseAddressEntry):
                base = entry.base_address
            elif isinstance(entry, LocationEntry):
                add = 0 if entry.is_absolute else base
                begin_view, end_view = next(views, (0, 0))
                begin, end = (
                    (entry.begin_offset + add, begin_view),
                    (entry.end_offset + add, end_view),
                )
                # Of several states of the source at one instruction, the view that the function
                # begins in counts.
                if begin <= (pc, view) < end:
                    return self._expressions.parse_expr(entry.loc_expr)
        return None

    def _views(self, die: DIE) -> Iterator[tuple[int, int]]:
        """The pair of views of each entry of a location list, by the GNU extension."""
        at = _value(die, "DW_AT_GNU_locviews")
        new = self._unit["version"] >= 5
        section = self._dwarf.debug_loclists_sec if new else self._dwarf.debug_loc_sec
        while at is not None and section is not None:
            stream = section.stream
            before = stream.tell()
            stream.seek(at)
            pair = _uleb128(stream), _uleb128(stream)
            at = stream.tell()
            stream.seek(before)
            yield pair

    def _first_range(self, die: DIE) -> int | None:
        ranges = self._dwarf.range_lists()
        attribute = die.attributes.get("DW_AT_ranges")
        if ranges is None or attribute is None:
            return None
        base = self._base
        for entry in ranges.get_range_list_at_offset(attribute.value, self._unit):
            if isinstance(entry, RangeBase):
                base = entry.base_address
            else:
                return entry.begin_offset + (0 if entry.is_absolute else base)
        return None


def origin_of(die: DIE) -> DIE:
    """The DIE with the name and type of `die`: the last of its chain of abstract origins."""
    for _ in range(_MOST_LINKS):
        for link in ("DW_AT_abstract_origin", "DW_AT_specification"):
            if link in die.attributes:
                die = die.get_DIE_from_attribute(link)
                break
        else:
            return die
    raise ValueError("abstract origins go round in a circle")


def name_of(die: DIE) -> str:
    """The name in the source, or ""."""
    name = _value(origin_of(die), "DW_AT_name")
    return "" if name is None else name.decode()


def size_of(die: DIE) -> int:
    """Size in bytes of the type of a parameter, 0 if it has none."""
    for _ in range(_MOST_LINKS):
        size = die.attributes.get("DW_AT_byte_size")
        if size is not None:
            return int(size.value)
        if die.tag == "DW_TAG_pointer_type":
            return _WORD_BYTES
        if "DW_AT_type" not in die.attributes:
            return 0
        die = die.get_DIE_from_attribute("DW_AT_type")
    raise ValueError("types go round in a circle")


def _parameters(die: DIE) -> list[DIE]:
    if not die.has_children:
        return []
    return [child for child in die.iter_children() if child.tag == "DW_TAG_formal_parameter"]


def _value(die: DIE, name: str) -> Any:  # noqa: ANN401 - its type depends on the attribute's form
    attribute: AttributeValue | None = die.attributes.get(name)
    return None if attribute is None else attribute.value


def _uleb128(stream: IO[bytes]) -> int:
    value = shift = 0
    while True:
        (byte,) = stream.read(1)
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value
