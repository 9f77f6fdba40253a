"""Workload files: any bytes."""

from fuzz.common import documented
from ksmtrace.workload.file import parse_workload
from support.workload_steps import workload_toml


def target(data):
    with documented:
        parse_workload(data, "w.toml")


def seeds():
    steps = ("spawn a", "map a r 12", "fill a r pages=10 content=byte:97", "mergeable a r")
    yield "scan", workload_toml(*steps, "scan 3", "fork a child=b", "exit a").encode()
    yield (
        "numa",
        (
            b'name = "n"\nnodes = 2\nvariant = "uksm"\n[tunables]\ncpu_governor = "low"\n'
            b'[[step]]\nop = "snapshot"\nname = "x"\ngroups = true\n'
        ),
    )
