"""Examines this host: what `live` will show here, how exactly, and what would make it better."""

from __future__ import annotations

from pathlib import Path

from ksmtrace.doctor.checks import run_checks
from ksmtrace.doctor.improvements import find_improvements
from ksmtrace.doctor.report import Report
from ksmtrace.doctor.survey import survey_kernel
from ksmtrace.errors import HostError
from ksmtrace.kernel.btf import VMLINUX, Btf
from ksmtrace.kernel.distribution import read_distribution
from ksmtrace.kernel.features import FEATURES, has_feature
from ksmtrace.kernel.files import read_text
from ksmtrace.kernel.host import read_kernel
from ksmtrace.kernel.needs import WAYS, lacking
from ksmtrace.kernel.privileges import missing_capabilities, read_lockdown
from ksmtrace.kernel.sysfs import ROOT

__all__ = ["Report", "examine"]


def examine(root: Path = ROOT) -> Report:
    """Look at this host; nothing is changed, and what is attached to try it is gone again.

    Whatever is missing is in the report: nothing is raised.
    """
    distribution = read_distribution(root)
    kernel = read_kernel(root)
    checks = run_checks(distribution, root)
    try:
        btf = Btf(root / VMLINUX.relative_to("/"))
    except HostError:
        btf = None
    try:
        survey = survey_kernel(btf, root)
        features = tuple((feature, has_feature(feature, btf, root)) for feature in FEATURES)
    finally:
        if btf is not None:
            btf.close()
    missing = tuple(missing_capabilities(root))
    lockdown = read_lockdown(root)
    return Report(
        kernel=kernel,
        distribution=distribution,
        checks=checks,
        survey=survey,
        lockdown=lockdown,
        missing_capabilities=missing,
        lacking={way: lacking(way, root) for way in WAYS},
        kptr_restrict=_kptr_restrict(root),
        features=features,
        improvements=find_improvements(survey, missing, lockdown, distribution, kernel.release),
    )


def _kptr_restrict(root: Path) -> str:
    return read_text(root / "proc/sys/kernel/kptr_restrict") or ""
