"""Programs that bcc cannot load: what is marked in them becomes what the kernel takes."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.kernel.bpf_features import CALLBACK, KFUNC_CALL, link_program

EXIT = struct.pack("<BBhi", 0x95, 0, 0, 0)
PLAIN = st.sampled_from([bytes.fromhex("b700000001000000"), bytes.fromhex("85000000b5000000")])


def load_of(number, register=2):
    return struct.pack("<BBhI", 0x18, register, 0, number & 0xFFFFFFFF) + struct.pack(
        "<BBhI", 0, 0, 0, number >> 32
    )


@given(st.lists(PLAIN, max_size=9), st.lists(PLAIN, max_size=9), st.lists(PLAIN, max_size=9))
def test_the_callback_is_behind_the_program_and_named_by_its_distance(before, between, after):
    code = b"".join([*before, load_of(CALLBACK), *between, load_of(CALLBACK, 3), *after, EXIT])
    callback = b"".join(after) + EXIT
    linked = link_program(code, callback)
    assert linked.endswith(callback)
    for place, register in ((len(before), 2), (len(before) + 2 + len(between), 3)):
        operation, registers, offset, distance = struct.unpack_from("<BBhi", linked, 8 * place)
        assert (operation, registers, offset) == (0x18, register | 4 << 4, 0)
        assert place + 1 + distance == len(code) // 8
        assert linked[8 * place + 8 : 8 * place + 16] == bytes(8)


def test_a_call_of_the_kernels_function_is_marked_as_one():
    helper, kfunc = (struct.pack("<BBhi", 0x85, 0, 0, n) for n in (14, KFUNC_CALL | 59244))
    linked = link_program(helper + kfunc + EXIT)
    assert linked == helper + struct.pack("<BBhi", 0x85, 2 << 4, 0, 59244) + EXIT


@pytest.mark.parametrize(("code", "callback"), [(EXIT, EXIT), (load_of(CALLBACK) + EXIT, b"")])
def test_a_callback_that_nobody_names_and_a_name_without_one(code, callback):
    with pytest.raises(ValueError, match="callback"):
        link_program(code, callback)
