"""Reads the dashboards and rules of the repository, and the PromQL in them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml

ROOT = Path(__file__).parent.parent.parent / "dashboards"
RULES = ROOT / "rules/ksmtrace.rules.yaml"

ARITHMETIC = ("+", "-", "*", "/", "%", "^")

ORDER = ("overview", "groups", "volatile", "cow", "health")


@dataclass(frozen=True)
class Target:
    """One query of one panel; its name is what a failing test shows."""

    dashboard: str
    panel: dict[str, Any]
    legend: str
    expression: str

    @property
    def name(self) -> str:
        return f"{self.dashboard}: {self.panel['title']}: {self.legend}"


def dashboards() -> dict[str, dict[str, Any]]:
    """Every dashboard's document, by its uid."""
    return {
        f"ksmtrace-{name}": json.loads((ROOT / f"ksmtrace-{name}.json").read_text())
        for name in ORDER
    }


def targets() -> list[Target]:
    """Every query of every panel."""
    return [
        Target(uid, panel, asked["legendFormat"], asked["expr"])
        for uid, document in dashboards().items()
        for panel in document["panels"]
        for asked in panel["targets"]
    ]


def substituted(expression: str, rate_interval: str = "5m", whole: str = "1h") -> str:
    """The expression as Grafana sends it with everything chosen."""
    for variable, value in {
        "$__rate_interval": rate_interval,
        "$__range": whole,
        "$job": ".+",
        "$instance": ".+",
    }.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression, expression
    return expression


def rules(kind: str) -> list[dict[str, Any]]:
    """The rules that are `alert` or `record`."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def metrics(expression: str) -> set[str]:
    """Names of the metrics that a PromQL expression asks for."""
    return {node.name for node, _ in walk(promql_parser.parse(expression)) if _selects(node)}


def walk(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every node of an expression with those above it, outermost first."""
    yield node, above
    for child in _children(node):
        yield from walk(child, (*above, node))


def _selects(node: Any) -> bool:
    return isinstance(node, promql_parser.VectorSelector)


def _children(node: Any) -> list[Any]:
    if isinstance(node, promql_parser.Call):
        return list(node.args)
    names = ("expr", "param", "lhs", "rhs", "vector_selector")
    found = (getattr(node, name, None) for name in names)
    return [child for child in found if child is not None]


def looked_at(expression: str) -> list[str]:
    """What an alert holds against something: the sides of its comparisons that are no numbers, what
    it wants absent."""
    return [str(node) for node in _looked_at(promql_parser.parse(expression))]


def _looked_at(node: Any) -> Iterator[Any]:
    if isinstance(node, promql_parser.NumberLiteral):
        return
    if isinstance(node, promql_parser.ParenExpr):
        yield from _looked_at(node.expr)
    elif isinstance(node, promql_parser.BinaryExpr) and str(node.op) not in ARITHMETIC:
        yield from _looked_at(node.lhs)
        yield from _looked_at(node.rhs)
    elif isinstance(node, promql_parser.Call) and node.func.name == "absent":
        yield from node.args
    else:
        yield node
