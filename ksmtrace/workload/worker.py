"""A process of a workload: it does to its own memory what it is commanded over a socket.

Its arguments are the socket and its name. Commands are JSON objects, one a packet, with the keys of
a workload step; each is answered by {} or {"error": …}, `map` by the region's {"address": …}. A
`fill` has, in place of its content, the `word` of page 0 and the `stride` to the next page's.
Regions lie at increasing addresses, in the order of mapping, the same in every process. It ends
when the driver's end of the socket closes, however the driver died.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import sys
from typing import Any

PAGE = 4096
_BASE = 0x1000_0000_0000
_GAP = 2 * 1024 * 1024
_PROT_READ_WRITE = 3
_MAP_PRIVATE_ANONYMOUS_FIXED = 0x02 | 0x20 | 0x100000  # MAP_FIXED_NOREPLACE
_MADVICE = {"discard": 4, "mergeable": 12, "unmergeable": 13, "huge": 14, "nohuge": 15}
_PR_SET_NAME = 15
_PR_SET_MEMORY_MERGE = 67
_SYS_MBIND = {"x86_64": 237, "aarch64": 235, "riscv64": 235}
_MPOL_BIND = 2
_NODES_OF_MASK = 65  # one more than there are: get_nodes takes one off
_F_SETPIPE_SZ = 1031
_PAGES_A_PIPE = 256  # more takes CAP_SYS_RESOURCE


class Worker:
    """Memory of one process, by region."""

    def __init__(self, address: str, name: str) -> None:
        self._address = address
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.mmap.restype = ctypes.c_void_p
        self._libc.mmap.argtypes = [
            ctypes.c_void_p,
            ctypes.c_size_t,
            *[ctypes.c_int] * 3,
            ctypes.c_long,
        ]
        self._libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        self._libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        self._next = _BASE
        self._regions: dict[str, tuple[int, int]] = {}
        self._huge: set[str] = set()
        self._advises = False
        self._all_mergeable = False
        self._connect(name)

    def _connect(self, name: str) -> None:
        self._libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.connect(self._address)
        self._socket.send(json.dumps({"process": name, "pid": os.getpid()}).encode())

    def serve(self) -> None:
        """Carry out commands until `exit` or until the driver is gone."""
        while packet := self._socket.recv(65536):
            step = json.loads(packet)
            if step["op"] == "exit":
                os._exit(0)
            answer: dict[str, Any] = {}
            try:
                address = self._do(step)
                if address is not None:
                    answer["address"] = address
            except (OSError, KeyError, ValueError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            self._keep_own_out()
            self._socket.send(json.dumps(answer).encode())

    def _do(self, step: dict[str, Any]) -> int | None:
        op = step["op"]
        if op == "map":
            return self._map(step["region"], step["pages"], huge=step.get("huge", False))
        elif op == "fork":
            self._fork(step["child"])
        elif op == "place":
            self._place(step["region"], step["node"])
        elif op == "merge_any":
            self._merge_any(step["by"], on=step["on"])
        elif op in _MADVICE:
            start, pages, _ = self._span(step)
            self._check(self._libc.madvise(start, pages * PAGE, _MADVICE[op]))
        elif step["region"] in self._huge:
            # huge pages come with faults alone: in between, khugepaged, which might make more,
            # is kept off
            self._advise_region(step["region"], "huge")
            self._touch(op, step, *self._span(step))
            self._advise_region(step["region"], "nohuge")
        else:
            self._touch(op, step, *self._span(step))
        return None

    def _touch(self, op: str, step: dict[str, Any], start: int, pages: int, first: int) -> None:
        match op:
            case "fill":
                self._fill(start, pages, first, step["word"], step["stride"])
            case "poke":
                for page in range(pages):
                    ctypes.memset(start + page * PAGE + step["offset"], step["value"], 1)
            case "read":
                for page in range(pages):
                    ctypes.string_at(start + page * PAGE, 1)
            case "pin":
                self._pin(start, pages)
            case "unmap":
                self._check(self._libc.munmap(start, pages * PAGE))
            case _:
                raise ValueError(f"unknown op {op!r}")

    def _map(self, region: str, pages: int, *, huge: bool) -> int:
        size = pages * PAGE
        start = self._libc.mmap(
            self._next, size, _PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS_FIXED, -1, 0
        )
        if start != self._next:
            raise OSError(ctypes.get_errno(), f"mmap of {region} at {self._next:#x} failed")
        self._regions[region] = (start, pages)
        self._advise_region(region, "nohuge")
        if self._advises:
            self._advise_region(region, "mergeable")
        if huge:
            self._huge.add(region)
        self._next += (size + _GAP - 1) // _GAP * _GAP + _GAP
        return self._regions[region][0]

    def _advise_region(self, region: str, advice: str) -> None:
        """Advise all of a region; ENOMEM: some of it is unmapped, and the rest is done."""
        start, pages = self._regions[region]
        if self._libc.madvise(start, pages * PAGE, _MADVICE[advice]):
            number = ctypes.get_errno()
            if number != errno.ENOMEM:
                raise OSError(number, os.strerror(number))

    def _place(self, region: str, node: int) -> None:
        start, pages = self._regions[region]
        mask = ctypes.c_ulong(1 << node)
        arguments = (start, pages * PAGE, _MPOL_BIND, ctypes.addressof(mask), _NODES_OF_MASK, 0)
        wide = [ctypes.c_ulong(one) for one in (_SYS_MBIND[os.uname().machine], *arguments)]
        self._check(self._libc.syscall(*wide))

    def _merge_any(self, by: str, *, on: bool) -> None:
        if by == "madvise":
            self._advises = True
            for region in self._regions:
                self._advise_region(region, "mergeable")
        elif self._libc.prctl(_PR_SET_MEMORY_MERGE, int(on), 0, 0, 0):
            number = ctypes.get_errno()
            lacks = "this kernel has no PR_SET_MEMORY_MERGE (6.4)"
            raise OSError(number, lacks if number == errno.EINVAL else os.strerror(number))
        else:
            self._all_mergeable = on

    def _keep_own_out(self) -> None:
        """PR_SET_MEMORY_MERGE is for the regions: the interpreter's memory is none of them."""
        if not self._all_mergeable:
            return
        with open("/proc/self/maps", "rb") as maps:
            spans = [line.split(b" ", 1)[0].split(b"-") for line in maps]
        for first, end in spans:
            start, size = int(first, 16), int(end, 16) - int(first, 16)
            if not _BASE <= start < self._next:
                # special mappings, which are never mergeable, refuse
                self._libc.madvise(start, size, _MADVICE["unmergeable"])

    def _fork(self, child: str) -> None:
        if os.fork() == 0:
            self._socket.close()
            self._keep_own_out()
            self._connect(child)
            self.serve()
            os._exit(0)

    def _pin(self, start: int, pages: int) -> None:
        """Hold references on the pages for good, so that they cannot be write-protected.

        They are spliced into pipes, whose reading ends are kept, and inherited by children.
        """
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        for first in range(0, pages, _PAGES_A_PIPE):
            size = min(_PAGES_A_PIPE, pages - first) * PAGE
            ends = os.pipe()
            fcntl.fcntl(ends[1], _F_SETPIPE_SZ, _PAGES_A_PIPE * PAGE)
            vector = (ctypes.c_ulong * 2)(start + first * PAGE, size)
            if self._libc.vmsplice(ends[1], vector, 1, 0) != size:
                raise OSError(ctypes.get_errno(), "vmsplice did not take all pages")
            os.close(ends[1])

    def _fill(self, start: int, pages: int, first: int, word: int, stride: int) -> None:
        for page in range(pages):
            content = struct.pack("<Q", word + stride * (first + page)) * (PAGE // 8)
            ctypes.memmove(start + page * PAGE, content, PAGE)

    def _span(self, step: dict[str, Any]) -> tuple[int, int, int]:
        """(address, pages, first page) of a step's range."""
        start, length = self._regions[step["region"]]
        first = step.get("first", 0)
        pages = step.get("pages", length - first)
        if first < 0 or pages <= 0 or first + pages > length:
            raise ValueError(
                f"pages {first}..{first + pages - 1} are not in region of {length} pages"
            )
        return start + first * PAGE, pages, first

    def _check(self, result: int) -> None:
        if result:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    Worker(sys.argv[1], sys.argv[2]).serve()
