"""A kernel that hides page frames costs the snapshot, not the trace."""

from ksmtrace.session import Exactness
from ksmtrace.sources.live import source


def test_hidden_page_frames_are_said(monkeypatch):
    def refuse():
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(source, "ksm_page_file", refuse)
    probe = source._snapshot_probe()
    assert probe.exactness is Exactness.ABSENT
    assert "Operation not permitted" in probe.note
