"""What stands in for bcc in guests, whose programs are compiled outside."""

import ctypes
import struct

import pytest

from support import precompiled


def load(register, kind, number):
    """The two instructions of a load of 64 bits."""
    return struct.pack("<BBhi", 0x18, register | kind << 4, 0, number) + bytes(8)


def test_descriptors_of_maps_are_replaced_and_nothing_else_is():
    other = struct.pack("<BBhi", 0xB7, 1, 0, 7)
    code = other + load(1, 1, 7) + load(2, 0, 7) + load(3, 1, 8) + other
    moved = precompiled._relocate(code, {7: 30, 8: 31})
    assert moved == other + load(1, 1, 30) + load(2, 0, 7) + load(3, 1, 31) + other


def test_a_descriptor_that_no_map_has_is_an_error():
    with pytest.raises(KeyError):
        precompiled._relocate(load(1, 1, 9), {7: 30})


def test_types_have_the_sizes_and_offsets_of_c():
    inner = ["inner", [["a", "unsigned short"], ["b", "unsigned char"]], "struct"]
    both = ["", [["x", inner], ["whole", "unsigned long long"]], "union"]
    kind = precompiled._ctype(
        ["outer", [["n", "unsigned int"], both, ["words", "unsigned long long", [4]]], "struct"]
    )

    class Expected(ctypes.Structure):
        class Both(ctypes.Union):
            class Inner(ctypes.Structure):
                _fields_ = (("a", ctypes.c_uint16), ("b", ctypes.c_uint8))

            _fields_ = (("x", Inner), ("whole", ctypes.c_uint64))

        _fields_ = (("n", ctypes.c_uint32), ("both", Both), ("words", ctypes.c_uint64 * 4))

    assert ctypes.sizeof(kind) == ctypes.sizeof(Expected)
    assert kind.words.offset == Expected.words.offset
