"""The C text of a plan's BPF program: its parts, and a function for each hook."""

from __future__ import annotations

from ksmtrace.resources import bpf_source
from ksmtrace.sources.live.bpf_parts import parameters_of
from ksmtrace.sources.live.capabilities import Placement
from ksmtrace.sources.live.hook_threads import SHARED
from ksmtrace.sources.live.plan import Plan
from ksmtrace.sources.live.probe_spec import FIRST_ARGUMENT, Hook, Place

_CONTEXT = {
    "fentry": "unsigned long long *ctx",
    "kprobe": "struct pt_regs *ctx",
    "raw_tracepoint": "struct bpf_raw_tracepoint_args *ctx",
    "perf": "void *ctx",
}


def program_text(plan: Plan) -> str:
    """C for bcc."""
    parts = [bpf_source(file).replace("#pragma once\n", "") for file in plan.sources]
    wrappers = [_wrapper(hook, placed) for hook, placed in plan.placements.items()]
    typed = [
        f"#define TYPED_{hook.body.upper()}"
        for hook, placed in plan.placements.items()
        if placed.mechanism == "fentry"
    ]
    return "\n".join([*typed, *parts, *wrappers])


def wrapper_name(hook: Hook, placement: Placement) -> str:
    """Name of the hook's program; no prefix that bcc would attach by itself."""
    return f"{placement.mechanism}_{hook.body}"


def _wrapper(hook: Hook, placement: Placement) -> str:
    arguments = hook.arguments
    if arguments is None:
        count = parameters_of(hook.body)
        arguments = tuple(_argument(hook, placement, index) for index in range(count))
    elif FIRST_ARGUMENT in arguments:
        first = _argument(hook, placement, 0)
        arguments = tuple(first if given == FIRST_ARGUMENT else given for given in arguments)
    name, context = wrapper_name(hook, placement), _CONTEXT[placement.mechanism]
    counts = ""
    if hook.target in SHARED:
        counts = "    if (!in_ksmd())\n        return 0;\n"
        counts += f"    count_ksmd_run({SHARED.index(hook.target)});\n"
    call = f"    return {hook.body}({', '.join(arguments)});\n"
    return f"int {name}({context})\n{{\n{counts}{call}}}\n"


def _argument(hook: Hook, placement: Placement, index: int) -> str:
    """C for a parameter of the body: an argument of the target.

    At a return the first is its value, the others its arguments, 0 where they are not told.
    """
    at_return = hook.place is Place.RETURN
    match placement.mechanism:
        case "fentry" if at_return:
            return f"ctx[{index - 1 if index else placement.parameters}]"
        case "fentry":
            return f"ctx[{index}]"
        case "kprobe" if at_return:
            return "0" if index else "PT_REGS_RC(ctx)"
        case "kprobe":
            return f"PT_REGS_PARM{index + 1}(ctx)"
        case "raw_tracepoint":
            return f"ctx->args[{index}]"
    raise LookupError(f"{placement.mechanism} has no arguments to give to {hook.body}")
