"""How each event is seen, and why not better, on kernels of every kind."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ksmtrace.events import EventKind
from ksmtrace.kernel.bpf import Outage
from ksmtrace.session import Exactness
from ksmtrace.sources.live.probe_spec import Place
from ksmtrace.sources.live.probe_table import PROBES

NAMES = sorted({hook.target for specs in PROBES.values() for spec in specs for hook in spec.hooks})
KALLSYMS = ("ksm_scan", "ksm_rmap_items", "vmemmap_base", "ksm_rmap_item.remaining_skips")
REASONS = st.sampled_from(
    [None, None, Outage("is refused (EPERM)", refused=True), Outage("no such thing")]
)


def of(survey, kind):
    return next(event for event in survey.events if event.kind is kind)


def test_a_stock_kernel_with_kprobes(host):
    survey = host.survey()
    assert survey.tier == "full"
    candidates = of(survey, EventKind.CMP_AND_MERGE_PAGE)
    assert (candidates.way, candidates.probe.exactness) == ("gather", Exactness.DERIVED)
    assert candidates.rejected == ()


def test_a_kernel_on_which_nothing_can_be_gathered(host):
    host.without |= {"kthread_should_stop"}
    survey = host.survey()
    assert survey.tier == "full"
    candidates = of(survey, EventKind.CMP_AND_MERGE_PAGE)
    assert (candidates.way, candidates.probe.exactness) == (
        "walk and skips",
        Exactness.DERIVED,
    )
    gather, symbol, walk = candidates.rejected
    said = [reason.text for reason in gather.reasons]
    assert any("kthread_should_stop is not in /proc/kallsyms" in text for text in said)
    assert "remaining_skips" in walk.reasons[0].text
    assert (symbol.way, symbol.exactness) == ("symbol", Exactness.EXACT)
    assert "cmp_and_merge_page is not in /proc/kallsyms" in symbol.reasons[0].text


def test_candidates_of_a_stock_kernel_without_the_walk(host):
    host.without |= {"ksm_next_page_pmd_entry", "kthread_should_stop"}
    assert of(host.survey(), EventKind.CMP_AND_MERGE_PAGE).way == "lock"


def test_a_kernel_that_inlines_nothing(host):
    host.without = frozenset()
    survey = host.survey()
    assert [event for event in survey.events if event.rejected] == []


def test_nothing_can_be_attached(host):
    """Then the kernel's totals are shown, and every probe that sees more is out for a reason."""
    refused = "BPF is refused (EPERM; missing CAP_SYS_ADMIN)"
    host.out = dict.fromkeys(("fentry", "kprobe", "raw_tracepoint", "perf"), Outage(refused))
    survey = host.survey()
    assert survey.tier is None
    assert of(survey, EventKind.COW_FAULT).probe.via == "/proc/vmstat cow_ksm"
    assert of(survey, EventKind.MM_ENTER).probe.exactness is Exactness.ABSENT
    assert_complete(survey)
    assert refused in of(survey, EventKind.MM_ENTER).rejected[0].reasons[0].text


def assert_complete(survey):
    """Every probe above the chosen one, all of them where none is, is there with a reason."""
    assert {event.kind for event in survey.events} == set(PROBES)
    for event in survey.events:
        names = [spec.name for spec in PROBES[event.kind]]
        above = names[: names.index(event.way)] if event.way else names
        assert [rejected.way for rejected in event.rejected] == above, event
        for rejected in event.rejected:
            assert rejected.reasons, (event, rejected)
            assert all(reason.text for reason in rejected.reasons), (event, rejected)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    out=st.fixed_dictionaries(
        dict.fromkeys(("fentry", "kprobe", "raw_tracepoint", "perf"), REASONS)
    ),
    without=st.sets(st.sampled_from([*NAMES, *KALLSYMS])),
    addresses=st.booleans(),
)
def test_no_better_way_is_out_without_a_reason(host, out, without, addresses):
    host.out, host.without, host.addresses = out, frozenset(without), addresses
    assert_complete(host.survey())


@pytest.mark.parametrize("place", [Place.ENTRY, Place.TRACEPOINT])
def test_what_is_hidden_is_named(host, place):
    """A function or tracepoint that the kernel lacks is named by each probe that needs it."""
    specs = [(kind, spec) for kind, specs in PROBES.items() for spec in specs]
    for name in {h.target for _, spec in specs for h in spec.hooks if h.place is place}:
        host.without = frozenset({name})
        survey = host.survey()
        for kind, spec in specs:
            if name in {hook.target for hook in spec.hooks}:
                said = [r.reasons for r in of(survey, kind).rejected if r.way == spec.name]
                assert all(any(name in reason.text for reason in reasons) for reasons in said)
