"""The BPF text of a plan: files of bpf/, and for each hook a program that hands the arguments to its body."""

from __future__ import annotations

import re

from ksmtrace.resources import bpf_source
from ksmtrace.sources.live.ladder import Plan
from ksmtrace.sources.live.offer import Placement
from ksmtrace.sources.live.way import Hook, Place

_CONTEXT = {
    "fentry": "unsigned long long *ctx",
    "kprobe": "struct pt_regs *ctx",
    "raw_tracepoint": "struct bpf_raw_tracepoint_args *ctx",
    "perf": "void *ctx",
}


def program_text(plan: Plan) -> str:
    """C for bcc."""
    text = "\n".join(bpf_source(name).replace("#pragma once\n", "") for name in plan.sources)
    wrappers = [_wrapper(hook, placed, text) for hook, placed in plan.placements.items()]
    return "\n".join([text, *wrappers])


def wrapper_name(hook: Hook, placement: Placement) -> str:
    """Name of the hook's program; no prefix that bcc would attach by itself."""
    return f"{placement.mechanism}_{hook.body}"


def _wrapper(hook: Hook, placement: Placement, text: str) -> str:
    signature = re.search(rf"^static __always_inline int {hook.body}\((.*?)\)$", text, re.MULTILINE)
    if signature is None:
        raise LookupError(f"no body {hook.body} in the plan's sources")
    count = 0 if signature[1] == "void" else signature[1].count(",") + 1
    arguments = hook.arguments
    if arguments is None:
        arguments = tuple(_argument(hook, placement, index) for index in range(count))
    name, context = wrapper_name(hook, placement), _CONTEXT[placement.mechanism]
    return f"int {name}({context})\n{{\n    return {hook.body}({', '.join(arguments)});\n}}\n"


def _argument(hook: Hook, placement: Placement, index: int) -> str:
    """C for a parameter of the body: the target's argument, or its return value."""
    at_return = hook.place is Place.RETURN
    match placement.mechanism:
        case "fentry":
            return f"ctx[{placement.parameters if at_return else index}]"
        case "kprobe":
            return "PT_REGS_RC(ctx)" if at_return else f"PT_REGS_PARM{index + 1}(ctx)"
        case "raw_tracepoint":
            return f"ctx->args[{index}]"
    raise LookupError(f"{placement.mechanism} has no arguments to give to {hook.body}")
