"""Writes the graph of sharing for other programs, as GraphML or DOT."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ksmtrace.errors import HostError, KsmtraceError
from ksmtrace.temporary import write_whole

ENDINGS = (".graphml", ".dot")


def check_graph(path: str) -> None:
    """Check that a graph can be written to a file of this name.

    Raises:
        KsmtraceError: its ending is none of `ENDINGS`, it is there already, or its directory cannot
            be written to.
        HostError: a library is missing.
    """
    target = Path(path)
    if target.suffix not in ENDINGS:
        raise KsmtraceError(f"{path}: is no name for a graph: it ends in {' or '.join(ENDINGS)}")
    if target.exists():
        raise KsmtraceError(f"{path}: is there already: remove it, or give another name")
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise KsmtraceError(f"{path}: its directory cannot be written to: give another")
    try:
        import networkx  # noqa: F401

        if target.suffix == ".dot":
            import pydot  # noqa: F401
    except ImportError as error:
        raise HostError(
            f"a graph needs {error.name}, which is not installed: pip install 'ksmtrace[graph]', "
            "or leave out --graph"
        ) from error


def write_graph(found: Mapping[str, Any], path: str) -> None:
    """Write processes as nodes and what each two share as edges.

    Args:
        found: the document of an audit.
        path: as `check_graph` allows.

    Raises:
        KsmtraceError: it cannot be written.
    """
    import networkx

    graph = networkx.Graph()
    for group in found["processes"]["groups"]:
        graph.add_node(group["name"], ksm_pages=group["ksm_pages"], pages=group["pages"])
    for pair in found["processes"]["pairs"]:
        graph.add_edge(pair["one"], pair["other"], ksm_pages=pair["ksm_pages"], bytes=pair["bytes"])
    if path.endswith(".dot"):
        text = networkx.nx_pydot.to_pydot(graph).to_string()
    else:
        text = "\n".join(networkx.generate_graphml(graph)) + "\n"
    try:
        write_whole(Path(path), text)
    except OSError as error:
        raise KsmtraceError(f"{path}: {error.strerror}: give another file with --graph") from error
