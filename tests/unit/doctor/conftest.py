"""Hosts made for the test: a tree of files, the kernel's types, and what its BPF lets load."""

from dataclasses import dataclass, field
from types import ModuleType

import pytest

import ksmtrace.doctor as doctor
from ksmtrace.doctor import checks
from ksmtrace.doctor.survey import survey_kernel
from ksmtrace.kernel.features import FEATURES, Sign
from ksmtrace.sources.live import capabilities
from ksmtrace.sources.live.bpf_parts import PARTS
from ksmtrace.sources.live.probe_spec import Place
from ksmtrace.sources.live.probe_table import PROBES

MECHANISMS = ("fentry", "kprobe", "raw_tracepoint", "perf")
INLINED = frozenset({"cmp_and_merge_page", "replace_page"})

_EVERY = [one for specs in PROBES.values() for s in specs for one in (s, s.with_too) if one]
FUNCTIONS = {
    hook.target for s in _EVERY for hook in s.hooks if hook.place in (Place.ENTRY, Place.RETURN)
}
TRACEPOINTS = {h.target for s in _EVERY for h in s.hooks if h.place is Place.TRACEPOINT}
SYMBOLS = {symbol for part in PARTS for one in (part, *part.extras) for symbol in one.symbols}
SYMBOLS |= {function for part in PARTS for function in part.functions}


@dataclass
class Types:
    """BTF of a kernel that has everything except some names.

    `without` are tracepoints, functions and "struct.member"s.
    """

    without: frozenset = frozenset()

    def has_typedef(self, name):
        return name.removeprefix("btf_trace_") not in self.without

    def function(self, name):
        return None if name in self.without else (1, 2)

    def has_member(self, struct, member):
        return f"{struct}.{member}" not in self.without

    def offset(self, struct, member):
        return 8

    def enumerator(self, name, enumerator):
        return None

    def size(self, struct):
        return 64

    def close(self):
        pass


@dataclass
class Host:
    """A host that has everything except what the test takes away.

    `out` is why each mechanism is out; `without` are names of functions, tracepoints, symbols and
    members.
    """

    root: object
    monkeypatch: object
    out: dict = field(default_factory=dict)
    without: frozenset = frozenset()
    addresses: bool = True

    def survey(self):
        self._make()
        return survey_kernel(Types(self.without), self.root)

    def examine(self):
        self._make()
        for module in (doctor, checks):
            self.monkeypatch.setattr(module, "Btf", lambda path: Types(self.without))
        return doctor.examine(self.root)

    def _make(self):
        mechanisms = {name: self.out.get(name) for name in MECHANISMS}
        self.monkeypatch.setattr(capabilities, "try_mechanisms", lambda *_: mechanisms)
        features = {"bpf_loop": {"CALLBACK": 1}, "bpf_rdonly_cast": {"KFUNC_CALL": 1}}
        self.monkeypatch.setattr(capabilities, "try_features", lambda *_: features)
        present = sorted((FUNCTIONS | SYMBOLS) - self.without)
        (self.root / "proc/kallsyms").write_text(
            "".join(
                f"{(0xFFFFFFFF81000000 + i) * self.addresses:016x} t {name}\n"
                for i, name in enumerate(present)
            )
        )


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A Debian host, root, with KSM on; functions are inlined as GCC does it."""
    files = {
        "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'
        'ID=debian\nVERSION_ID="12"\n',
        "proc/41/stat": "41 (ksmd) S 2 0 0\n",
        "proc/self/status": f"CapEff:\t{(1 << 41) - 1:016x}\n",
        "proc/sys/kernel/kptr_restrict": "0\n",
        "sys/kernel/mm/ksm/run": "1\n",
        "sys/kernel/mm/ksm/full_scans": "1\n",
        "sys/kernel/btf/vmlinux": "",
        "sys/kernel/security/lockdown": "[none] integrity confidentiality\n",
    }
    for feature in FEATURES:
        if feature.sign in (Sign.FILE, Sign.LINE):
            files.setdefault(feature.where, "")
            files[feature.where] += f"{feature.word} 1\n"
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    bcc = ModuleType("bcc")
    bcc.__file__ = "/usr/lib/python3/dist-packages/bcc/__init__.py"
    monkeypatch.setattr(checks.os, "geteuid", lambda: 0)
    monkeypatch.setattr(checks, "import_bcc", lambda: bcc)
    monkeypatch.setattr(
        checks, "load_libbpf", lambda: type("Library", (), {"_name": "libbpf.so.1"})
    )
    return Host(tmp_path, monkeypatch, without=INLINED)
