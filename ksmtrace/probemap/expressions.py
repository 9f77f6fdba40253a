"""Evaluates the DWARF expressions that a probe can follow.

Those are a register, and memory at a register plus an offset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from elftools.dwarf.dwarf_expr import DWARFExprOp

from ksmtrace.probemap.format import REGISTERS, Location, LocationKind


@dataclass(frozen=True, slots=True)
class Address:
    """A register's value plus an offset in bytes; `register` is DWARF's number."""

    register: int
    offset: int


def locate(
    ops: Sequence[DWARFExprOp], frame: Address | None, cfa: Address | None, size: int
) -> Location | None:
    """Where an expression puts a value of `size` bytes, or None if a probe cannot read it there.

    Args:
        ops: the expression, as pyelftools parses it.
        frame: what DW_OP_fbreg counts from.
        cfa: the canonical frame address.
        size: of the value, in bytes.
    """
    ops = _without_whole_piece(ops, size)
    if len(ops) == 1:
        number = _register_of(ops[0])
        if number is not None:
            return _place(LocationKind.REGISTER, Address(number, 0), size)
    kind = LocationKind.MEMORY
    if ops and ops[-1].op_name == "DW_OP_stack_value":
        kind, ops = LocationKind.REGISTER, ops[:-1]
    address = evaluate(ops, frame, cfa)
    return None if address is None else _place(kind, address, size)


def evaluate(
    ops: Sequence[DWARFExprOp], frame: Address | None, cfa: Address | None
) -> Address | None:
    """The address that an expression computes; None if that is no register plus an offset."""
    address: Address | None = None
    for number, op in enumerate(ops):
        if number == 0:
            address = _base(op, frame, cfa)
        elif op.op_name == "DW_OP_plus_uconst" and address is not None:
            address = replace(address, offset=address.offset + op.args[0])
        else:
            return None
    return address


def base_of(ops: Sequence[DWARFExprOp], cfa: Address | None) -> Address | None:
    """The frame base by the expression of DW_AT_frame_base, or None."""
    if len(ops) == 1:
        number = _register_of(ops[0])
        if number is not None:
            return Address(number, 0)
    return evaluate(ops, None, cfa)


def _base(op: DWARFExprOp, frame: Address | None, cfa: Address | None) -> Address | None:
    name = op.op_name
    if name == "DW_OP_call_frame_cfa":
        return cfa
    if name == "DW_OP_fbreg":
        return None if frame is None else replace(frame, offset=frame.offset + op.args[0])
    if name == "DW_OP_bregx":
        return Address(op.args[0], op.args[1])
    if name.startswith("DW_OP_breg"):
        return Address(int(name.removeprefix("DW_OP_breg")), op.args[0])
    return None


def _register_of(op: DWARFExprOp) -> int | None:
    if op.op_name == "DW_OP_regx":
        return int(op.args[0])
    if op.op_name.startswith("DW_OP_reg") and op.op_name.removeprefix("DW_OP_reg").isdigit():
        return int(op.op_name.removeprefix("DW_OP_reg"))
    return None


def _without_whole_piece(ops: Sequence[DWARFExprOp], size: int) -> Sequence[DWARFExprOp]:
    """A struct of one member lies in one piece, which is the same as none."""
    if ops and ops[-1].op_name == "DW_OP_piece" and ops[-1].args == [size]:
        return ops[:-1]
    return ops


def _place(kind: LocationKind, address: Address, size: int) -> Location | None:
    if not 0 <= address.register < len(REGISTERS) or size < 1:
        return None
    if kind is LocationKind.REGISTER and size > 8:
        return None
    return Location(kind, REGISTERS[address.register], address.offset, size)
