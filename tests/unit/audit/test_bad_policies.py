"""A policy that cannot be read is refused by its name."""

import pytest

from ksmtrace.audit.domains import load_policy
from ksmtrace.errors import KsmtraceError

BAD = {
    "a number of too many digits": b"domain = " + b"9" * 5000,
    "nested too deeply": b"domain = " + b"[" * 5000,
    "no text": b"\xff",
    "a mark of the byte order": b"\xef\xbb\xbf[[domain]]\n",
    "no such day": b"domain = 2001-13-45\n",
    "a zero byte": b"\0",
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_a_policy_that_is_no_toml(tmp_path, content):
    path = tmp_path / "policy.toml"
    path.write_bytes(content)
    with pytest.raises(KsmtraceError, match=r"policy\.toml: is no TOML: "):
        load_policy(str(path))
