"""A kernel that hides page frames costs the snapshot, not the trace."""

from ksmtrace.session import Exactness
from ksmtrace.sources.live import merged_before


def test_hidden_page_frames_are_said(monkeypatch):
    def refuse():
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(merged_before, "ksm_page_file", refuse)
    probe = merged_before.snapshot_probe()
    assert probe.exactness is Exactness.ABSENT
    assert "Operation not permitted" in probe.note
