"""Whatever a kernel offers, the plan takes the best probes that work there, and its text lacks
nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.errors import HostError, KsmtraceError
from ksmtrace.events import EventKind
from ksmtrace.events.kinds import RARE
from ksmtrace.kernel.bpf import Outage
from ksmtrace.session import Exactness, Knowledge
from ksmtrace.sources.live.bpf_parts import PARTS
from ksmtrace.sources.live.capabilities import Capabilities
from ksmtrace.sources.live.gather_probe import GATHER
from ksmtrace.sources.live.plan import (
    CHOICES,
    counters_only,
    make_plan,
    make_totals_plan,
)
from ksmtrace.sources.live.probe_spec import Place
from ksmtrace.sources.live.probe_table import PROBES
from ksmtrace.sources.live.program_text import program_text
from ksmtrace.sources.live.struct_offsets import OFFSETS

EVERY = [spec for specs in PROBES.values() for spec in specs]
FUNCTIONS = sorted(
    {h.target for s in EVERY for h in s.hooks if h.place in (Place.ENTRY, Place.RETURN)}
)
TRACEPOINTS = sorted({h.target for s in EVERY for h in s.hooks if h.place is Place.TRACEPOINT})
DATA = sorted({name for part in PARTS for one in (part, *part.extras) for name in one.symbols})
DATA += ["ksm_scan_thread"]
MEMBERS = sorted({member for members in OFFSETS.values() for member in members})
INLINED = {"cmp_and_merge_page", "replace_page"}
STOCK = [name for name in FUNCTIONS if name not in INLINED]
FEATURES = {
    "bpf_loop": {"CALLBACK": 1},
    "bpf_rdonly_cast": dict.fromkeys(("KFUNC_CALL", "KFUNC_RDONLY_CAST", "TYPE_PT_REGS"), 1),
}
WORKING = dict.fromkeys(("fentry", "kprobe", "raw_tracepoint", "perf"))


class FakeBtf:
    """A kernel's types, as far as a plan asks."""

    def __init__(self, functions=STOCK, tracepoints=TRACEPOINTS, members=MEMBERS):
        self.functions, self.tracepoints, self.members = functions, tracepoints, members

    def has_typedef(self, name):
        return name.removeprefix("btf_trace_") in self.tracepoints

    def has_member(self, struct, member):
        return f"{struct}.{member}" in self.members

    def offset(self, struct, member):
        return 8 * len(member)

    def enumerator(self, name, enumerator):
        return None

    def size(self, name):
        return 64

    def function(self, name):
        return (7, 4) if name in self.functions else None


def kernel(
    tmp_path,
    btf=None,
    symbols=(*STOCK, *DATA),
    mechanisms=WORKING,
    counters=(),
    sleep=20,
    features=FEATURES,
):
    """What such a kernel offers."""
    (tmp_path / "proc").mkdir(exist_ok=True)
    ksm = tmp_path / "sys/kernel/mm/ksm"
    ksm.mkdir(parents=True, exist_ok=True)
    for old in ksm.iterdir():
        old.unlink()
    for name in counters:
        (ksm / name).write_text("0\n")
    (ksm / "sleep_millisecs").write_text(f"{sleep}\n")
    lines = [f"ffffffff8100{number:04x} t {name}\n" for number, name in enumerate(symbols, start=1)]
    (tmp_path / "proc/kallsyms").write_text("".join(lines))
    (tmp_path / "proc/vmstat").write_text("nr_free_pages 1\n")
    return Capabilities(btf or FakeBtf(), EVERY, tmp_path, mechanisms=mechanisms, features=features)


def some_of(names):
    return st.sets(st.sampled_from(names)).map(
        lambda left_out: [n for n in names if n not in left_out]
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("root")


@given(
    some_of(FUNCTIONS),
    some_of(TRACEPOINTS),
    some_of(MEMBERS),
    some_of(DATA),
    some_of(sorted(WORKING)),
    st.sampled_from(["auto", "kprobe", "fentry", "tracepoint"]),
)
def test_whatever_a_kernel_offers(root, functions, tracepoints, members, data, working, choice):
    mechanisms = {name: None if name in working else Outage("refused") for name in WORKING}
    btf = FakeBtf(functions, tracepoints, members)
    plan = plan_or_refusal(kernel(root, btf, (*functions, *data), mechanisms), choice)
    if isinstance(plan, str):
        assert "--probes sysfs" in plan
        assert "\n" not in plan
        return
    assert set(plan.chosen) == set(PROBES)
    for kind, chosen in plan.chosen.items():
        names = [spec.name for spec in PROBES[kind]]
        better = names[: names.index(chosen.spec.name)] if chosen.spec else names
        assert [rejected.way for rejected in chosen.rejected] == better
        assert all(rejected.reasons for rejected in chosen.rejected)
        if chosen.spec:
            assert chosen.probe.counter == chosen.spec.counter
            assert chosen.probe.lacks == chosen.spec.lacks
        for other, allowed in chosen.spec.requires.items() if chosen.spec else ():
            assert plan.chosen[other].spec.name in allowed
    for placement in plan.placements.values():
        assert placement.mechanism in set(CHOICES[choice]) & set(working)
    assert_text_is_whole(plan)


def plan_or_refusal(capabilities, choice):
    try:
        return make_plan(capabilities, choice)
    except HostError as error:
        return str(error)


def assert_text_is_whole(plan):
    """Every macro that the compiler would meet has a value, and every hook a program."""
    text = re.sub(r"/\*.*?\*/", "", program_text(plan), flags=re.DOTALL)
    words = set(re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b", text))
    optional = set(re.findall(r"#ifn?def (\w+)", text))
    for extra in (extra for part in PARTS for extra in part.extras):
        if extra.macro not in plan.defines:
            optional |= {*extra.offsets, *(f"SYM_{symbol.upper()}" for symbol in extra.symbols)}
    own = set(re.findall(r"#define (\w+)", text))
    own |= set(re.findall(r"^\s+(\w+) = ", text, re.MULTILINE))
    own |= {word for word in words if word.startswith(("BPF_", "PT_REGS_"))}
    assert words - optional - own - plan.defines.keys() <= {"KSMD_PID", "RING_PAGES"}
    programs = re.findall(r"^int ((?!gather_)\w+)\(", text, re.MULTILINE)
    assert len(programs) == len(set(programs)) == len(plan.placements)


def test_a_stock_kernel(tmp_path):
    plan = make_plan(kernel(tmp_path))
    assert plan.tier == "full"
    assert plan.probes[EventKind.BREAK_COW].via == "kprobe break_cow"
    assert plan.probes[EventKind.TRY_TO_MERGE_ONE_PAGE].via.startswith(
        "kprobe and kretprobe try_to_merge_one_page"
    )
    assert plan.probes[EventKind.CMP_AND_MERGE_PAGE].exactness is Exactness.DERIVED
    gathered = {kind for kind, one in plan.chosen.items() if one.spec.name == "gather"}
    assert gathered == {
        *(EventKind.REMOVE_RMAP_ITEM, EventKind.CMP_AND_MERGE_PAGE, EventKind.SKIPPED),
        *(EventKind.SCAN_START, EventKind.SCAN_STOP),
    }
    assert list(plan.placements)[-2:] == list(GATHER.hooks[:2])


WITH_TRAMPOLINES = (*STOCK, *DATA, "register_ftrace_direct")


@pytest.mark.parametrize("make", [make_plan, make_totals_plan])
def test_what_ksmd_seldom_does_is_seen_by_fentry(tmp_path, make):
    """But where kprobes' registers are read, and in other threads than ksmd."""
    plan = make(kernel(tmp_path, symbols=WITH_TRAMPOLINES))
    attempts = plan.probes[EventKind.TRY_TO_MERGE_ONE_PAGE].via
    assert attempts == (
        "fentry and fexit try_to_merge_one_page + fentry try_to_merge_with_ksm_page"
    )
    assert plan.probes[EventKind.STABLE_APPEND].via == "fentry stable_tree_append"
    assert plan.probes[EventKind.BREAK_COW].via == "fentry break_cow"
    assert plan.probes[EventKind.REMOVE_STABLE_NODE].via == "kprobe remove_node_from_stable_tree"
    assert plan.probes[EventKind.MM_ENTER].via == "kprobe __ksm_enter"
    assert not {one.mechanism for one in plan.by_windows.values()}
    if make is make_plan:
        examined = plan.chosen[EventKind.CMP_AND_MERGE_PAGE]
        assert examined.spec.name == "gather"
        assert how_it_gathers(plan) == {
            "kthread_should_stop": "fentry",
            "__msecs_to_jiffies": "kprobe",
            "__ksm_exit": "kprobe",
        }


def how_it_gathers(plan):
    return {hook.target: plan.placements[hook].mechanism for hook in GATHER.hooks}


@pytest.mark.parametrize(
    ("symbols", "sleep", "features"),
    [
        (WITH_TRAMPOLINES, 20, {**FEATURES, "bpf_loop": Outage("no bpf_loop (5.17)")}),
        (WITH_TRAMPOLINES, 0, FEATURES),
        ((*STOCK, *DATA), 20, FEATURES),
    ],
)
def test_all_that_gathers_are_kprobes(tmp_path, symbols, sleep, features):
    """What jumps to other programs is of their type; else as for any fentry."""
    plan = make_plan(kernel(tmp_path, symbols=symbols, sleep=sleep, features=features))
    assert set(how_it_gathers(plan).values()) == {"kprobe"}


def test_what_btf_does_not_have_is_seen_by_kprobe(tmp_path):
    """One function alone: the others are as they were."""
    typed = [name for name in STOCK if name != "break_cow"]
    plan = make_plan(kernel(tmp_path, FakeBtf(typed), WITH_TRAMPOLINES))
    assert plan.probes[EventKind.BREAK_COW].via == "kprobe break_cow"
    assert plan.probes[EventKind.STABLE_APPEND].via == "fentry stable_tree_append"


@pytest.mark.parametrize(("symbols", "sleep"), [((*STOCK, *DATA), 20), (WITH_TRAMPOLINES, 0)])
def test_where_fentry_is_taken_only_if_it_is_asked_for(tmp_path, symbols, sleep):
    """Without trampolines it cannot be attached; of a ksmd that never sleeps it is not let go."""
    offered = kernel(tmp_path, symbols=symbols, sleep=sleep)
    plan, asked = make_plan(offered), make_plan(offered, "fentry")
    assert plan.probes[EventKind.STABLE_APPEND].via == "kprobe stable_tree_append"
    assert asked.probes[EventKind.STABLE_APPEND].via == "fentry stable_tree_append"


@pytest.mark.parametrize("choice", ["kprobe", "fentry"])
def test_intercepting_is_asked_for(tmp_path, choice):
    plan = make_plan(kernel(tmp_path), choice)
    assert "gather.c" not in plan.sources
    for kind in (EventKind.CMP_AND_MERGE_PAGE, EventKind.REMOVE_RMAP_ITEM):
        out = plan.chosen[kind].rejected[0]
        assert (out.way, [reason.text for reason in out.reasons]) == ("gather", ["not asked for"])


@pytest.mark.parametrize("lacking", ["kthread_should_stop", "ksm_run", "break_cow"])
def test_nothing_else_is_taken_where_gathering_is_asked_for(tmp_path, lacking):
    """What it has to see besides is missing: auto intercepts, and the choice is refused."""
    there = [name for name in (*STOCK, *DATA) if name != lacking]
    plan = make_plan(kernel(tmp_path, symbols=there))
    assert plan.chosen[EventKind.CMP_AND_MERGE_PAGE].spec.name != "gather"
    with pytest.raises(HostError, match=lacking):
        make_plan(kernel(tmp_path, symbols=there), "gather")


def test_a_kernel_that_does_not_inline(tmp_path):
    plan = make_plan(kernel(tmp_path, FakeBtf(FUNCTIONS), (*FUNCTIONS, *DATA)), "kprobe")
    for kind in (EventKind.CMP_AND_MERGE_PAGE, EventKind.REPLACE_PAGE):
        assert plan.probes[kind].exactness is Exactness.EXACT
        assert plan.probes[kind].via == f"kprobe {kind.name.lower()}"
    assert "candidate_walk.c" in plan.sources


def test_clones_of_a_function(tmp_path):
    """GCC's `.isra` and `.constprop` are whole functions with other parameters; `.part` and `.cold`
    are pieces."""
    symbols = [name for name in (*STOCK, *DATA) if name not in ("break_cow", "do_wp_page")]
    symbols += [
        "break_cow.isra.0",
        "break_cow.constprop.1.isra.2",
        "break_cow.cold",
        "do_wp_page.part.0",
    ]
    plan = make_plan(kernel(tmp_path, symbols=symbols))
    probe = plan.probes[EventKind.BREAK_COW]
    assert probe.via == "kprobe break_cow.constprop.1.isra.2 + kprobe break_cow.isra.0"
    assert probe.exactness is Exactness.DERIVED
    assert "other parameters" in probe.note
    assert plan.probes[EventKind.COW_FAULT].exactness is Exactness.ABSENT
    assert plan.tier == "partial"


def test_without_break_ksm_nobody_knows_who_broke_a_page(tmp_path):
    symbols = [name for name in (*STOCK, *DATA) if name != "break_ksm"]
    probe = make_plan(kernel(tmp_path, symbols=symbols)).probes[EventKind.COW_FAULT]
    assert probe.via == "kprobe and kretprobe do_wp_page"
    assert probe.lacks == {Knowledge.WHO_BROKE}


def test_no_kprobes_but_fentry(tmp_path):
    plan = make_plan(kernel(tmp_path, mechanisms={**WORKING, "kprobe": Outage("no kprobes")}))
    assert plan.tier == "full"
    assert plan.probes[EventKind.TRY_TO_MERGE_ONE_PAGE].via.startswith(
        "fentry and fexit try_to_merge_one_page"
    )
    # fexit has the arguments.
    examined = plan.probes[EventKind.CMP_AND_MERGE_PAGE].via
    assert examined.startswith("fexit ksm_next_page_pmd_entry + ")
    assert "on_pmd_entry" not in {hook.body for hook in plan.placements}


def test_fentry_is_refused(tmp_path):
    plan = make_plan(
        kernel(tmp_path, mechanisms={**WORKING, "fentry": Outage("fentry is refused (EPERM)")})
    )
    assert plan.probes[EventKind.BREAK_COW].via == "kprobe break_cow"
    with pytest.raises(HostError, match=r"EPERM.*doctor"):
        make_plan(
            kernel(tmp_path, mechanisms={**WORKING, "fentry": Outage("fentry is refused (EPERM)")}),
            "fentry",
        )


def test_bpf_is_refused(tmp_path):
    """One line with the reason and what is left; exit 3 is HostError's."""
    refused = dict.fromkeys(WORKING, Outage("BPF is refused (EPERM; missing CAP_BPF)"))
    with pytest.raises(HostError, match=r"missing CAP_BPF.*--probes sysfs") as raised:
        make_plan(kernel(tmp_path, mechanisms=refused))
    assert raised.value.status == 3


def test_writes_to_tunables_alone_make_no_function_tier(tmp_path):
    """sysfs_kf_write is everybody's: it can be hooked where nothing of KSM's own can."""
    symbols = ["sysfs_kf_write", *DATA]
    tracepoints = [name for name in TRACEPOINTS if name.startswith("ksm_")]
    plan = make_plan(kernel(tmp_path, FakeBtf(symbols, tracepoints), symbols))
    assert plan.probes[EventKind.TUNABLE].via.startswith("kprobe and kretprobe sysfs_kf_write")
    assert plan.probes[EventKind.TUNABLE].exactness is Exactness.EXACT
    assert plan.tier == "tracepoint"
    nothing = kernel(
        tmp_path, FakeBtf(symbols, ()), symbols, {**WORKING, "perf": Outage("refused")}
    )
    with pytest.raises(HostError, match="lacks the functions and tracepoints"):
        make_plan(nothing)


def test_tunables_are_read_where_writes_cannot_be_probed(tmp_path):
    plan = make_plan(kernel(tmp_path), "tracepoint")
    probe = plan.probes[EventKind.TUNABLE]
    assert (probe.via, probe.exactness) == ("/sys/kernel/mm/ksm", Exactness.SAMPLED)
    store, *_ = plan.chosen[EventKind.TUNABLE].rejected
    assert (store.way, [reason.text for reason in store.reasons]) == ("store", ["not asked for"])
    assert counters_only(tmp_path).probes[EventKind.TUNABLE] == probe


def test_addresses_are_hidden(tmp_path):
    kernel(tmp_path)
    listing = (tmp_path / "proc/kallsyms").read_text()
    (tmp_path / "proc/kallsyms").write_text(
        re.sub(r"^[0-9a-f]{16}", "0" * 16, listing, flags=re.MULTILINE)
    )
    plan = make_plan(
        Capabilities(FakeBtf(), EVERY, tmp_path, mechanisms=WORKING, features=FEATURES)
    )
    assert plan.tier == "partial"
    assert "kptr_restrict" in str(plan.chosen[EventKind.REMOVE_RMAP_ITEM].rejected)


def test_counters_alone(tmp_path):
    kernel(tmp_path, counters=("pages_scanned", "full_scans"))
    plan = counters_only(tmp_path)
    assert (plan.tier, plan.placements, plan.sources) == ("sysfs", {}, ())
    examined = plan.probes[EventKind.CMP_AND_MERGE_PAGE]
    assert (examined.via, examined.exactness) == (
        "/sys/kernel/mm/ksm pages_scanned",
        Exactness.SAMPLED,
    )
    assert examined.counter == "pages_scanned"
    assert plan.probes[EventKind.SKIPPED].exactness is Exactness.ABSENT


def test_a_choice_that_is_none(tmp_path):
    with pytest.raises(
        KsmtraceError, match=r"nonsense.*auto, gather, fentry, kprobe, tracepoint, sysfs"
    ):
        make_plan(kernel(tmp_path), "nonsense")


@given(
    some_of(FUNCTIONS),
    some_of(TRACEPOINTS),
    some_of(sorted(WORKING)),
    st.sampled_from(["auto", "kprobe", "fentry", "tracepoint"]),
)
def test_totals_of_whatever_a_kernel_offers(root, functions, tracepoints, working, choice):
    """Rare kinds are counted by their first probe that works; no other kind has a probe."""
    mechanisms = {name: None if name in working else Outage("refused") for name in WORKING}
    btf = FakeBtf(functions, tracepoints)
    offered = kernel(root, btf, (*functions, *DATA), mechanisms, counters=("full_scans",))
    plan = make_totals_plan(offered, choice)
    assert plan.tier == ("totals" if plan.placements else "sysfs")
    assert set(plan.chosen) == set(PROBES)
    for kind, chosen in plan.chosen.items():
        assert chosen.probe.counted is (kind in RARE and chosen.spec is not None)
        if kind not in RARE:
            assert chosen.probe.exactness in (Exactness.SAMPLED, Exactness.ABSENT)
            assert chosen.probe.note
    hooks = {hook.target for hook in plan.placements}
    assert hooks.isdisjoint({"mmap_lock_released", "do_wp_page", "remove_rmap_item_from_tree"})
    assert_text_is_whole(plan)
    if plan.placements:
        assert "submit_process(u64 mm)\n{\n}" in program_text(plan)
