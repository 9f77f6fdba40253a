"""Writes the files of all dashboards: `python -m tools.dashboards.generate`."""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from tools.dashboards.cow import cow
from tools.dashboards.groups import groups
from tools.dashboards.health import health
from tools.dashboards.overview import overview
from tools.dashboards.volatile import volatile

FOLDER = Path(__file__).parent.parent.parent / "dashboards"

DASHBOARDS = (overview, groups, volatile, cow, health)
"""The makers, in the order in which a reader wants them."""


def files() -> dict[str, str]:
    """Text of each dashboard's file, by its name."""
    return dict(_file(maker()) for maker in DASHBOARDS)


def _file(made: Dashboard) -> tuple[str, str]:
    dashboard = made.build()
    for number, panel in enumerate(dashboard.panels or (), 1):
        panel.id_val = number
    text = json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True)
    return f"{dashboard.uid}.json", f"{text}\n"


if __name__ == "__main__":
    for name, content in files().items():
        (FOLDER / name).write_text(content, encoding="utf-8")
