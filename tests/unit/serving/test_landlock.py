"""What a process can no longer do once it has let go: the kernel says so."""

import json
import socket
import subprocess
import sys

import pytest

CODE = """
import json, os, signal, socket, sys
from ksmtrace.kernel.capabilities import keep_only
from ksmtrace.serving.landlock import let_go
port, parent = int(sys.argv[1]), os.getppid()
listener = socket.create_server(("127.0.0.1", 0))
memory = os.memfd_create("m")
os.write(memory, b"kept")
attempts = {
    "read": lambda: open("/etc/passwd"),
    "list": lambda: os.listdir("/"),
    "write": lambda: open(sys.argv[2], "w"),
    "connect": lambda: socket.create_connection(("127.0.0.1", port)),
    "bind": lambda: socket.create_server(("127.0.0.1", 0)),
    "signal": lambda: os.kill(parent, 0),
}
def refused(attempt):
    try:
        attempt()
    except PermissionError:
        return True
    return False
before = [name for name, attempt in attempts.items() if refused(attempt)]
keep_only(())
abi = let_go()
after = [name for name, attempt in attempts.items() if refused(attempt)]
child = os.fork()
if not child:
    signal.pause()
os.kill(child, signal.SIGKILL)
own = open(f"/proc/self/fd/{memory}").read(), os.WTERMSIG(os.waitpid(child, 0)[1])
print(json.dumps([abi, before, after, own]))
"""


def test_files_connections_and_signals_are_out_of_reach(tmp_path):

    with socket.create_server(("127.0.0.1", 0)) as other:
        ran = subprocess.run(
            [sys.executable, "-c", CODE, str(other.getsockname()[1]), str(tmp_path / "w")],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
    abi, before, after, own = json.loads(ran.stdout)
    if not abi:
        pytest.skip("this kernel has no Landlock")
    assert before == []
    expected = ["read", "list", "write"]
    expected += ["connect", "bind"] if abi >= 4 else []
    expected += ["signal"] if abi >= 6 else []
    assert after == expected
    assert own == ["kept", 9]
