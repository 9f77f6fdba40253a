"""The guest's side of compiling: asks the host (tests/vm/compiler.py) for a text's programs, and
stands in for bcc, which takes half a minute to compile in a guest.

Maps are made here; programs are loaded and attached by the same system calls as bcc's.
"""

import base64
import ctypes
import fcntl
import hashlib
import json
import os
import struct
import time
from pathlib import Path
from typing import NamedTuple

from ksmtrace.kernel.btf import load_libbpf

FOLDER = "COMPILE_IN"
"""Environment variable of a guest: where the host looks for what it is to compile."""

_KPROBE, _PERF_EVENT, _RAW_TRACEPOINT = 2, 7, 17
_PER_CPU = (5, 6, 10)
_LOAD_64, _PSEUDO_MAP_FD = 0x18, 1
_SET_BPF, _ENABLE = 0x40042408, 0x2400
_SYS_PERF_EVENT_OPEN = 298
_CLOSE_ON_EXEC = 8


def compile_on_host(text, flags):
    """In place of `program.compile_text`: what the host compiles for this guest.

    Raises:
        RuntimeError: it cannot.
    """
    asked = json.dumps({"text": text, "flags": flags})
    name = hashlib.sha256(asked.encode()).hexdigest()[:16]
    answer, request, part = (
        Path(os.environ[FOLDER], name).with_suffix(end)
        for end in (".answer", ".request", ".asking")
    )
    if not answer.exists():
        part.write_text(asked)
        part.rename(request)
    while not answer.exists():  # no end: where time is instructions, it runs on meanwhile
        time.sleep(0.1)
    found = json.loads(answer.read_text())
    if "error" in found:
        raise RuntimeError(found["error"])
    return Precompiled(found)


class Precompiled:
    """As much of bcc's BPF object as the product and its tests use."""

    def __init__(self, answer):
        self._library = load_libbpf()
        self._open = []
        self.funcs = {}
        self._tables = {row["name"].encode(): Table(self._library, row) for row in answer["maps"]}
        here = {row["descriptor"]: self[row["name"].encode()].map_fd for row in answer["maps"]}
        self._programs = {
            name.encode(): _relocate(base64.b64decode(code), here)
            for name, code in answer["programs"].items()
        }

    def __getitem__(self, name):
        return self._tables[name]

    def get_table(self, name):
        return self._tables[name]

    def dump_func(self, name):
        return self._programs[name]

    def attach_kprobe(self, event, fn_name, event_off=0):
        self._attach_probe(event, fn_name, offset=event_off)

    def attach_kretprobe(self, event, fn_name):
        self._attach_probe(event, fn_name, config=1)

    def attach_raw_tracepoint(self, tp, fn_name):
        program = self._load(fn_name, _RAW_TRACEPOINT)
        link = self._library.bpf_raw_tracepoint_open(tp, program)
        _check(link, tp)
        self._open.append(link)

    def attach_perf_event(self, ev_type, ev_config, fn_name, sample_period, pid):
        event = _perf_event_open(ev_type, ev_config, period=sample_period, pid=pid)
        self._run(event, self._load(fn_name, _PERF_EVENT))

    def cleanup(self):
        while self._open:
            os.close(self._open.pop())
        while self.funcs:
            os.close(self.funcs.popitem()[1].fd)
        while self._tables:
            os.close(self._tables.popitem()[1].map_fd)

    def _attach_probe(self, symbol, name, *, config=0, offset=0):
        kind = int(Path("/sys/bus/event_source/devices/kprobe/type").read_text())
        event = _perf_event_open(kind, config, symbol=symbol, offset=offset)
        self._run(event, self._load(name, _KPROBE))

    def _run(self, event, program):
        self._open.append(event)
        fcntl.ioctl(event, _SET_BPF, program)
        fcntl.ioctl(event, _ENABLE, 0)

    def load_func(self, name, kind):
        if name not in self.funcs:
            code = self._programs[name]
            program = self._library.bpf_prog_load(
                kind, b"ksmtrace", b"GPL", code, ctypes.c_size_t(len(code) // 8), None
            )
            _check(program, name)
            self.funcs[name] = Function(self, name, program)
        return self.funcs[name]

    def _load(self, name, kind):
        return self.load_func(name, kind).fd


class Function(NamedTuple):
    """A loaded program, as bcc has it."""

    bpf: Precompiled
    name: bytes
    fd: int


class Table:
    """A map: its descriptor, and its elements as bcc gives them."""

    def __init__(self, library, row):
        self._library = library
        self._key_bytes = row["key_bytes"]
        self.Leaf = _ctype(row["leaf"]) if row["leaf"] else ctypes.c_int
        self._processors = 0
        if row["type"] in _PER_CPU:
            possible = Path("/sys/devices/system/cpu/possible").read_text().strip()
            self._processors = int(possible.rpartition("-")[2]) + 1
        # struct bpf_map_create_opts of libbpf 1.0; map_flags is the seventh
        options = struct.pack("<Q5IIQII", 48, 0, 0, 0, 0, 0, row["flags"], 0, 0, 0)
        self.map_fd = library.bpf_map_create(
            row["type"],
            row["name"].encode()[:15],
            row["key_bytes"],
            row["leaf_bytes"],
            row["entries"],
            options,
        )
        _check(self.map_fd, row["name"].encode())

    def __getitem__(self, key):
        found = (self.Leaf * self._processors)() if self._processors else self.Leaf()
        if self._library.bpf_map_lookup_elem(self.map_fd, ctypes.byref(key), ctypes.byref(found)):
            raise KeyError(key)
        return found

    def items(self):
        """Pairs of key and value; a key is a number."""
        key, last = ctypes.c_uint64(), None
        assert self._key_bytes <= ctypes.sizeof(key)
        while not self._library.bpf_map_get_next_key(self.map_fd, last, ctypes.byref(key)):
            yield key, self[key]
            last, key = ctypes.byref(key), ctypes.c_uint64()

    def clear(self):
        key = ctypes.create_string_buffer(self._key_bytes)
        while not self._library.bpf_map_get_next_key(self.map_fd, None, key):
            self._library.bpf_map_delete_elem(self.map_fd, key)

    def __setitem__(self, key, leaf):
        if self._library.bpf_map_update_elem(
            self.map_fd, ctypes.byref(key), ctypes.byref(leaf), ctypes.c_uint64(0)
        ):
            raise KeyError(key)


def _relocate(code, here):
    """Instructions with the descriptors of this process's maps in place of the host's."""
    words = bytearray(code)
    at = 0
    while at < len(words):
        opcode, registers, _, number = struct.unpack_from("<BBhi", words, at)
        if opcode == _LOAD_64:
            if registers >> 4 == _PSEUDO_MAP_FD:
                struct.pack_into("<i", words, at + 4, here[number])
            at += 8
        at += 8
    return bytes(words)


_CTYPES = {
    "char": ctypes.c_char, "unsigned char": ctypes.c_ubyte, "short": ctypes.c_short,
    "unsigned short": ctypes.c_ushort, "int": ctypes.c_int, "unsigned int": ctypes.c_uint,
    "long": ctypes.c_long, "unsigned long": ctypes.c_ulong, "long long": ctypes.c_longlong,
    "unsigned long long": ctypes.c_ulonglong,
}  # fmt: skip


def _ctype(described):
    """A type as bcc describes it: a name, or [name, members, "struct" or "union"]."""
    if isinstance(described, str):
        return _CTYPES[described]
    fields = []
    for place, (name, kind, *more) in enumerate(described[1]):
        if more and isinstance(more[0], str):  # one with members of its own, which may have no name
            fields.append((name or f"inner{place}", _ctype([name, kind, *more])))
        else:
            fields.append((name, _ctype(kind) * more[0][0] if more else _ctype(kind)))
    base = ctypes.Union if described[2] == "union" else ctypes.Structure
    return type(described[0], (base,), {"_fields_": fields})


def _perf_event_open(kind, config, *, period=0, pid=-1, symbol=b"", offset=0):
    """An event of one thread on any processor, or of everything on processor 0."""
    name = ctypes.create_string_buffer(symbol + b"\0")
    address = ctypes.addressof(name) if symbol else 0
    attributes = struct.pack(
        "<IIQQQQQIIQQ", kind, 72, config, period, 0, 0, 1, 0, 0, address, offset
    )
    event = ctypes.CDLL(None, use_errno=True).syscall(
        _SYS_PERF_EVENT_OPEN,
        attributes,
        *map(ctypes.c_long, (pid, 0 if pid < 0 else -1, -1)),
        ctypes.c_long(_CLOSE_ON_EXEC),
    )
    if event < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"perf event {symbol.decode()}: {os.strerror(error)}")
    return event


def _check(descriptor, what):
    if descriptor < 0:
        raise OSError(-descriptor, f"{what.decode()}: {os.strerror(-descriptor)}")
