"""Wrong usage, of every kind: one line that says what, where and what to do; status 2."""

import os

import pytest

from ksmtrace.cli import main

FILES = {
    "text": b"neither\n" * 9,
    "bytes": bytes(range(256)),
    "empty": b"",
    "elf": b"\x7fELF" + bytes(100),
    "page.html": b'<!doctype html><meta name="generator" content="ksmtrace report"><p>',
    "map.json": b'{"format": "ksmtrace-probemap", "version": 1}',
    "bad.toml": b'name = "x"\n[[step]]\nop = "dance"\n',
}

WORKLOAD = """\
name = "small"
variant = "ksm-6.18"

[[step]]
op = "spawn"
process = "one"
"""

NO_VERB = [
    ("nonsense", "'nonsense' is none of live, record"),
    ("repaly", "did you mean replay?"),
    ("lvie", "did you mean live?"),
    ("reprot C", "did you mean report?"),
    ("what-if C", "did you mean whatif?"),
    ("dashboard", "did you mean dashboards?"),
    ("--nonsense", "unrecognized argument --nonsense"),
    ("--verison", "did you mean --version?"),
    ("-v", "unrecognized argument -v"),
    ("'' C", "'' is none of"),
    ("C", "is none of"),
]

UNKNOWN_OPTIONS = [
    ("replay C --spede 4", "did you mean --speed?"),
    ("replay C --speeed=4", "did you mean --speed?"),
    ("replay C --enigne", "did you mean --engine?"),
    ("replay C --json --lsiten 9917", "did you mean --listen?"),
    ("replay C --pid 1 --duration 4", "unrecognized argument --duration"),
    ("replay C C", "unrecognized argument"),
    ("replay C -x", "unrecognized argument -x"),
    ("replay C --once", "unrecognized argument --once"),
    ("live --durations 4", "did you mean --duration?"),
    ("live --intervall 4", "did you mean --interval?"),
    ("live --no-tiu", "did you mean --no-tui?"),
    ("live --speed 4", "unrecognized argument --speed"),
    ("live C", "unrecognized argument"),
    ("live --drop-capability", "did you mean --drop-capabilities?"),
    ("live --web_config W", "did you mean --web-config?"),
    ("record -o NEW --max_size 3G", "did you mean --max-size?"),
    ("record -o NEW --dumpwhen x", "did you mean --dump-when?"),
    ("record -o NEW --once", "unrecognized argument --once"),
    ("report C --jsn", "did you mean --json?"),
    ("report C --output x", "unrecognized argument --output"),
    ("simulate W --varaint pksm", "did you mean --variant?"),
    ("simulate W --onkernel", "did you mean --on-kernel?"),
    ("simulate W --nocomparisons", "did you mean --no-comparisons?"),
    ("whatif W --sweeps a=1", "did you mean --sweep?"),
    ("whatif W --variants pksm", "did you mean --variant?"),
    ("doctor --jason", "did you mean --json?"),
    ("doctor now", "unrecognized argument now"),
    ("plugins now", "unrecognized argument now"),
    ("probemap elf -o NEW --json", "unrecognized argument --json"),
    ("dashboards -o NEW --force", "unrecognized argument --force"),
    ("demo --pidd 1", "did you mean --pid?"),
]

MISSING_ARGUMENTS = [
    ("replay", "required: FILE"),
    ("report", "required: FILE"),
    ("whatif", "required: FILE"),
    ("simulate", "required: WORKLOAD"),
    ("record", "required: -o"),
    ("probemap", "required: VMLINUX, -o"),
    ("probemap elf", "required: -o"),
    ("dashboards", "required: -o"),
    ("record -o", "-o: expected one argument"),
    ("live --duration", "--duration: expected one argument"),
    ("live --pid", "--pid: expected at least one argument"),
    ("live --listen", "--listen: expected one argument"),
    ("replay C --speed", "--speed: expected one argument"),
    ("simulate W --set", "--set: expected at least one argument"),
    ("audit --policy", "--policy: expected one argument"),
    ("audit --policy none.toml", "none.toml: No such file"),
    ("audit --policy text", "text: is no TOML"),
    ("audit --policy bytes", "bytes: is no TOML"),
    ("audit --policy empty", "there is no [[domain]]"),
    ("audit --policy bad.toml", "has no key 'name'"),
    ("audit --graph x.png", "x.png: is no name for a graph"),
    ("audit --graph none/x.dot", "its directory cannot be written to"),
    ("audit --pid 4194303", "there is no process 4194303"),
    ("estimate --pids 1", "did you mean --pid?"),
    ("estimate --looks 0", "no number of looks"),
    ("estimate --looks 101", "no number of looks"),
    ("estimate --every -1", "above 0"),
    ("estimate --budget 0", "above 0"),
    ("estimate --max-bytes-per-second 100", "no size of a page or more"),
    ("estimate --max-bytes-per-second fast", "no size of a page or more"),
    ("estimate --pid 0", "is no pid"),
    ("estimate --pid 4194303", "there is no process 4194303"),
    ("estimate --cgroup /no/such", "no process is in the cgroup /no/such"),
    ("estimate --vm nobody", "no guest 'nobody'"),
    ("estimate -o dir/none/e.html", "there is no directory"),
    ("estimate everything", "unrecognized argument everything"),
    ("why", "name one process: a PID, or a guest by --vm NAME"),
    ("why 1 --vm web", "name one process: a PID, or a guest by --vm NAME"),
    ("why --vm nobody", "no guest 'nobody'"),
    ("why web", "is no pid"),
    ("why 0", "is no pid"),
    ("why 4194303", "there is no process 4194303"),
    ("why 1 7000-6000", "'7000-6000' ends before it begins"),
    ("why 1 7000-7000", "'7000-7000' ends before it begins"),
    ("why 1 [heap]", "'[heap]' is no address nor two with a dash in between"),
    ("why 1 7000-", "'7000-' is no address"),
    ("why 1 -- -7000", "'-7000' is no address"),
    ("why 1 10000000000000000", "is no address"),
    ("why 1 7000 8000", "unrecognized argument 8000"),
    ("why 1 --show-bytes --no-near", "leave out --no-near"),
    ("why 1 --capture none", "none"),
    ("why 1 --capture W", "workload"),
    ("why 1 --max-batch many", "no number of MiB"),
    ("why 1 --looks 0", "no number of looks"),
    ("why 1 --every nan", "above 0"),
    ("whatif W --sweep", "--sweep: expected at least one argument"),
]

VALUES = [
    ("live --duration -1", "'-1' is not a number of seconds above 0"),
    ("live --duration 0", "'0' is not a number of seconds above 0"),
    ("live --duration nan", "'nan' is not a number of seconds above 0"),
    ("live --duration inf", "'inf' is not a number of seconds above 0"),
    ("live --duration 5s", "'5s' is not a number of seconds above 0"),
    ("live --duration 1e999", "'1e999' is not a number of seconds above 0"),
    ("live --interval 0", "'0' is not a number of seconds above 0"),
    ("live --interval ''", "'' is not a number of seconds above 0"),
    ("live --budget 0%", "is neither a share above 0%"),
    ("live --budget 101%", "is neither a share above 0%"),
    ("live --budget much", "is neither a share above 0%"),
    ("live --cow 2", "--cow"),
    ("live --cow some", "--cow"),
    ("live --cow -1", "--cow"),
    ("live --pid 0", "'0' is no pid, 1 to 4194304"),
    ("live --pid -1", "--pid"),
    ("live --pid x", "'x' is no pid"),
    ("live --pid 4194305", "'4194305' is no pid"),
    ("live --pid 99999999999999999999", "is no pid"),
    ("live --pid 1.5", "'1.5' is no pid"),
    ("live --pid 1 2 x", "'x' is no pid"),
    ("live --pid \u0661", "is no pid"),
    ("record -o NEW --pid 4194304", "--pid 4194304: no such process"),
    ("live --pid 4194303", "--pid 4194303: no such process"),
    ("live --pid 1 4194301", "--pid 4194301: no such process"),
    ("live --groups -1", "is not a whole number, 0 to 1000"),
    ("live --groups 1001", "is not a whole number, 0 to 1000"),
    ("live --groups x", "is not a whole number, 0 to 1000"),
    ("record -o NEW --max-size 3X", "'3X' is no size"),
    ("record -o NEW --max-size -3", "--max-size"),
    ("record -o NEW --keep x", "'x' is no number of segments"),
    ("record -o NEW --keep 2 --dump-when nonsense", "--dump-when"),
    ("replay C --speed fast", "'fast' is not max, real or a factor above 0"),
    ("replay C --speed -2", "--speed"),
    ("replay C --speed 0", "'0' is not max, real or a factor above 0"),
    ("replay C --speed inf", "'inf' is not max, real or a factor above 0"),
    ("replay C --max-batch 0", "is no number of MiB"),
    ("replay C --max-batch x", "is no number of MiB"),
    ("replay C --listen nonsense", "nonsense"),
    ("replay C --listen 127.0.0.1:99999", "99999"),
    ("replay C --listen 127.0.0.1:x", "127.0.0.1:x"),
    ("replay C --textfile none", "none"),
    ("replay C -p nonsense", "nonsense"),
    ("replay C -p no:nonsense", "nonsense"),
    ("report C -p nonsense", "nonsense"),
    ("live --probes nonsense", "nonsense"),
    ("live --probes sysf", "sysf"),
    ("live --probe-map none.json --duration 1", "none.json"),
    ("simulate W --set a", "'a' is not TUNABLE=VALUE"),
    ("simulate W --set =1", "'=1' is not TUNABLE=VALUE"),
    ("simulate W --set a=", "'a=' is not TUNABLE=VALUE"),
    ("simulate W --set nonsense=1", "nonsense"),
    ("simulate W --set max_page_sharing=1", "EINVAL"),
    ("simulate W --variant ksm-9", "ksm-9"),
    ("whatif W --variant ksm-9", "ksm-9"),
    ("whatif W --set nonsense=1", "nonsense"),
    ("whatif W --sweep smart_scan=", "no value"),
    ("whatif W --sweep pages_to_scan", "--sweep"),
    ("whatif W --set a", "'a'"),
]

FILES_OF_ANOTHER_KIND = [
    ("simulate C", "is a capture, and no workload: try ksmtrace replay "),
    ("probemap C -o NEW", "is a capture, and no vmlinux: try ksmtrace replay "),
    ("replay W", "is a workload, and no capture: try ksmtrace simulate "),
    ("report W", "is a workload, and no capture: try ksmtrace simulate "),
    ("probemap W -o NEW", "is a workload, and no vmlinux: try ksmtrace simulate "),
    ("replay bad.toml", "is a workload, and no capture"),
    ("replay elf", "is an ELF file, and no capture: try ksmtrace probemap "),
    ("report elf", "is an ELF file, and no capture: try ksmtrace probemap "),
    ("simulate elf", "is an ELF file, and no workload: try ksmtrace probemap "),
    ("whatif elf", "is an ELF file, and no capture or workload: try ksmtrace probemap "),
    ("replay page.html", "is a page of ksmtrace report, and no capture: give the capture itself"),
    ("whatif page.html", "is a page of ksmtrace report"),
    ("simulate page.html", "is a page of ksmtrace report"),
    ("report page.html", "is a page of ksmtrace report"),
    ("replay map.json", "is a probe map, and no capture: try ksmtrace live --probe-map "),
    ("simulate map.json", "is a probe map, and no workload"),
    ("replay text", "not a ksmtrace capture"),
    ("report text", "not a ksmtrace capture"),
    ("simulate text", "text"),
    ("whatif text", "neither a capture nor a workload"),
    ("probemap text -o NEW", "not an ELF file"),
    ("replay bytes", "not a ksmtrace capture"),
    ("simulate bytes", "bytes"),
    ("whatif bytes", "neither a capture nor a workload"),
    ("replay empty", "empty"),
    ("report empty", "empty"),
    ("whatif empty", "empty"),
    ("probemap empty -o NEW", "not an ELF file"),
    ("simulate bad.toml", "step 0"),
    ("whatif bad.toml", "step 0"),
]

OUTPUT = [
    ("record -o -", "'-' is standard output"),
    ("live --record -", "'-' is standard output"),
    ("demo --record -", "'-' is standard output"),
    ("report C -o -", "'-' is standard output"),
    ("simulate W -o -", "'-' is standard output"),
    ("probemap elf -o -", "'-' is standard output"),
    ("record -o ''", "'' is no name of a file"),
    ("report C -o ''", "'' is no name of a file"),
    ("report C -o DIR", "is a directory: name a file in it"),
    ("report C -o /", "is a directory: name a file in it"),
    ("report C -o none/r.html", "there is no directory"),
    ("report C -o text", "is no report of ksmtrace"),
    ("report C -o C", "is no report of ksmtrace"),
    ("simulate W -o DIR", "is a directory: name a file in it"),
    ("simulate W -o text", "is not a ksmtrace capture"),
    ("simulate W -o none/c", "create the directory first"),
    ("simulate W -o /dev/null", "is not a regular file"),
    ("simulate W -o C", "give --force to replace it"),
    ("record -o C", "give --force to replace it"),
    ("record -o C --duration 1 --keep 2", "give --force to replace it"),
    ("live --record C", "give --force to replace it"),
    ("record -o KEPT", "give --force to replace it"),
    ("simulate W -o KEPT", "give --force to replace it"),
    ("dashboards -o text", "text"),
]

IGNORED = [
    ("simulate W --on-kernel --variant pksm", "--variant is about the engine"),
    ("simulate W --on-kernel --no-comparisons", "--no-comparisons is about the engine"),
    ("simulate W --on-kernel -o NEW", "-o records the engine"),
    ("simulate W --events --no-comparisons", "--events never counts comparisons"),
    ("simulate W --events --json", "leave out --json"),
    ("simulate W --events -o NEW", "leave out -o"),
    ("simulate W --kind skipped", "give --events too"),
    ("replay C --pid 1", "give --events too"),
    ("replay C --pass 1", "give --events too"),
    ("replay C --events --json", "leave out --json"),
    ("replay C --events --engine", "leave out --engine"),
    ("replay C --events --listen 0", "leave out --listen"),
    ("replay C --events --pass 3-1", "ends before it begins"),
    ("replay C --events --kind nonsense", "--kind"),
    ("replay C --hold --json", "leave out --json"),
    ("replay C --hold --no-tui", "leave out --json and --no-tui"),
    ("replay C --web-config W", "give --listen too"),
    ("live --web-config W", "give --listen too"),
    ("live --groups 3", "give --listen or --textfile too"),
    ("live --log --json", "leave out --json and --once"),
    ("live --log --once", "leave out --json and --once"),
    ("live --totals --budget 3%", "leave out --budget"),
    ("live --totals --pid 1", "leave out --pid"),
    ("live --totals --probes sysfs", "choose one"),
    ("live --probes sysfs --cow all", "leave out --cow"),
    ("live --probes sysfs --budget 3%", "leave out --budget"),
    ("live --probes sysfs --probe-map map.json", "leave out --probe-map"),
    ("live --probes sysfs --drop-capabilities", "leave out --drop-capabilities"),
    ("live --probes tracepoint --probe-map map.json", "or --probes tracepoint"),
    ("live --keep 3", "give --record"),
    ("live --max-size 3G", "give --record"),
    ("record -o NEW --dump-when events.lost>0", "give --keep too"),
]

CHECKS_AND_FORMATS = [
    ("replay C --warning saved=1", "--warning is about a check: give --check too"),
    ("live --critical lost=0", "--critical is about a check: give --check too"),
    ("live -w ksmd=20%", "--warning is about a check: give --check too"),
    ("report C --warning saved=1", "unrecognized argument --warning"),
    ("replay C --format xml", "'xml' is none of text, json, events, check"),
    ("replay C --format jsno", "did you mean json?"),
    ("report C --format events", "'events' is none of text, json"),
    ("doctor --format", "--format: expected one argument"),
    ("replay C --format text --json", "give one of them"),
    ("replay C --format json --events", "leave out --json"),
    ("schema", "required: DOCUMENT"),
    ("schema simulat", "did you mean simulate?"),
    ("schema run --json", "unrecognized argument --json"),
]

NEED_NOTHING = ("live", "doctor", "plugins", "demo")

LINES = [
    *(*NO_VERB, *UNKNOWN_OPTIONS, *MISSING_ARGUMENTS, *VALUES),
    *(*FILES_OF_ANOTHER_KIND, *OUTPUT, *IGNORED, *CHECKS_AND_FORMATS),
    *(
        (f"{verb} none", "none: no such file: check the name of the")
        for verb in ("replay", "report")
    ),
    *(
        (f"{verb} none", "none: no such file: check the name of the")
        for verb in ("whatif", "simulate")
    ),
    ("probemap none -o NEW", "none: no such file: check the name of the vmlinux"),
    *((f"{verb} DIR", "is a directory: name a") for verb in ("replay", "report", "whatif")),
    ("simulate DIR", "is a directory: name a workload in it"),
    ("probemap DIR -o NEW", "is a directory: name a vmlinux in it"),
    *((f"{verb} --help-me", "unrecognized argument --help-me") for verb in NEED_NOTHING),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, bundled_capture):
    folder = tmp_path_factory.mktemp("usage")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (folder / "W").write_text(WORKLOAD)
    (folder / "C").symlink_to(bundled_capture)
    (folder / "KEPT.0003").symlink_to(bundled_capture)
    (folder / "DIR").mkdir()
    return folder


@pytest.mark.parametrize(("line", "words"), LINES, ids=[line for line, _ in LINES])
def test_wrong_usage(line, words, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = sorted(os.listdir(folder))
    arguments = ["" if word == "''" else word for word in line.split()]
    status = main(arguments)
    said = capsys.readouterr()
    assert status == 2
    assert said.out == ""
    (told,) = said.err.splitlines()
    assert told.startswith("ksmtrace: ")
    assert words in told
    assert sorted(os.listdir(folder)) == before


NOT_ROOT = [
    *("live", "live --once --json", "live --totals", "live --probes tracepoint", "live --pid 1"),
    *("live --listen 0 --no-tui", "live --drop-capabilities", "record -o NEW", "demo"),
    *("demo --json", "simulate W --on-kernel", "simulate W --on-kernel --json"),
]


@pytest.mark.parametrize("line", NOT_ROOT)
def test_who_is_not_root_is_told_what_is_left(line, folder, monkeypatch, capsys):
    """Status 3, and the counters that everybody may read; nothing is written."""
    monkeypatch.chdir(folder)
    for module in ("ksmtrace.sources.live.preconditions", "ksmtrace.workload.guard"):
        monkeypatch.setattr(f"{module}.why_no_ksm", lambda *_: None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("ksmtrace.kernel.privileges.effective_capabilities", lambda *_: 0)
    before = sorted(os.listdir(folder))
    assert main(line.split()) == 3
    said = capsys.readouterr()
    assert said.out == ""
    (told,) = said.err.splitlines()
    assert "needs root" in told
    assert told.endswith("ksmtrace live --probes sysfs")
    assert sorted(os.listdir(folder)) == before


def test_there_are_many():
    assert len({line for line, _ in LINES}) == len(LINES) > 150
