"""How a hook's function hands the kernel's arguments to its body."""

import re

import pytest

from ksmtrace.sources.live.capabilities import Placement
from ksmtrace.sources.live.plan import Plan
from ksmtrace.sources.live.probe_spec import Hook, Place
from ksmtrace.sources.live.program_text import program_text


def call(hook, placement):
    """The call of the body in the text of a program with this hook alone."""
    text = program_text(Plan(placements={hook: placement}, files={"merge.c", "candidate_walk.c"}))
    (found,) = re.findall(rf"return ({hook.body}\(.*\));", text)
    return found


ONE_PAGE = "on_try_to_merge_one_page"
ENTRY = Hook(Place.ENTRY, "try_to_merge_one_page", ONE_PAGE)
RETURN = Hook(Place.RETURN, "try_to_merge_one_page", f"{ONE_PAGE}_return")
PAGE_FOUND = Hook(Place.RETURN, "ksm_next_page_pmd_entry", "on_pmd_entry_return")


@pytest.mark.parametrize(
    ("hook", "mechanism", "arguments"),
    [
        (ENTRY, "kprobe", "PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx)"),
        (RETURN, "kprobe", "PT_REGS_RC(ctx)"),
        (ENTRY, "fentry", "ctx[0], ctx[1], ctx[2]"),
        (RETURN, "fentry", "ctx[4]"),
        (PAGE_FOUND, "kprobe", "PT_REGS_RC(ctx), 0, 0, 0, 0"),
        (PAGE_FOUND, "fentry", "ctx[4], ctx[0], ctx[1], ctx[2], ctx[3]"),
        (
            Hook(Place.TRACEPOINT, "ksm_merge_one_page", "on_merge_one_page"),
            "raw_tracepoint",
            "ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3]",
        ),
        (Hook(Place.SWITCH, "ksmd", "on_ksmd_switched_out"), "perf", ""),
        (
            Hook(Place.SITE, "ksm_scan_thread", "on_cmp_and_merge_page", ("(ctx->bx+(0))",), 64),
            "kprobe",
            "(ctx->bx+(0))",
        ),
    ],
)
def test_arguments(hook, mechanism, arguments):
    placement = Placement(mechanism, (hook.target,), btf_id=7, parameters=4)
    assert call(hook, placement) == f"{hook.body}({arguments})"


@pytest.mark.parametrize(("mechanism", "typed"), [("fentry", True), ("kprobe", False)])
def test_the_text_is_told_whose_arguments_have_types(mechanism, typed):
    placements = {ENTRY: Placement(mechanism, (ENTRY.target,), btf_id=7, parameters=4)}
    text = program_text(Plan(placements=placements, files={"merge.c"}))
    assert (f"#define TYPED_{ONE_PAGE.upper()}\n" in text) is typed


def test_a_place_without_arguments_has_none_to_give():
    with pytest.raises(LookupError, match="perf has no arguments"):
        call(Hook(Place.SWITCH, "ksmd", ONE_PAGE), Placement("perf", ("ksmd",)))
