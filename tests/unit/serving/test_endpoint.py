"""The process that serves: what it may do, what clients do to it, and what happens when it dies."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import bcrypt
import pytest
import trustme

from ksmtrace.serving import server
from ksmtrace.serving.endpoint import Endpoint
from ksmtrace.serving.pages import Pages
from support.prometheus import until

PAGES = Pages(b"a 1\n", b"a 1.0\n# EOF\n")


@pytest.fixture
def said():
    return []


@pytest.fixture
def serve(said):
    made = []

    def start(web_config=None, pages=PAGES):
        endpoint = Endpoint("0", web_config, "/metrics", said.append)
        made.append(endpoint)
        endpoint.watch()
        if pages is not None:
            endpoint.publish(pages)
            if web_config is None:
                until(lambda: ask(endpoint)[0] == 200)
        return endpoint

    yield start
    for endpoint in made:
        endpoint.close()


def exchange(endpoint, request, source="127.0.0.1", context=None):
    """What is answered to these bytes, until the end."""
    with socket.create_connection(
        endpoint.address, timeout=30, source_address=(source, 0)
    ) as connection:
        if context is not None:
            connection = context.wrap_socket(connection, server_hostname="localhost")
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        connection.close()
    return answer


def ask(endpoint, target="/metrics", *headers, **how):
    """The status, 0 without an answer, and the body."""
    lines = [f"GET {target} HTTP/1.1", "Host: a", *headers, "", ""]
    answer = exchange(endpoint, "\r\n".join(lines).encode("latin-1"), **how)
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, body


def children(endpoint):
    """The keeper, and the process that serves."""
    keeper = endpoint._keeper.pid
    found = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
    return keeper, *map(int, found)


def status_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def descriptors(pid):
    return {os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")}


def test_it_has_no_privilege_no_file_and_no_other_socket(serve, tmp_path):
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        endpoint = serve()
    for pid in children(endpoint):
        found = status_of(pid)
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(found[kind], 16) == 0, kind
        assert found["NoNewPrivs"] == "1"
        if os.getuid() == 0:
            assert set(found["Uid"].split()) == {"65534"}
            assert set(found["Gid"].split()) == {"65534"}
            assert found["Groups"].strip() == ""
            files = {name for name in descriptors(pid) if name.startswith("/")}
            assert files <= {"/dev/null", "/memfd:ksmtrace (deleted)"}


def test_its_memory_and_files_cannot_be_read_by_its_own_user(serve):
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    endpoint = serve()
    ran = subprocess.run(
        ["cat", f"/proc/{children(endpoint)[1]}/mem"], user=65534, group=65534, extra_groups=[],
        check=False, capture_output=True,
    )  # fmt: skip
    assert ran.returncode != 0
    assert b"Permission denied" in ran.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
@pytest.mark.parametrize("which", [0, 1])
def test_when_it_dies_it_is_started_again_with_what_it_served(serve, said, which, number):
    endpoint = serve()
    for count in (1, 2):
        os.kill(children(endpoint)[which], number)
        until(lambda count=count: endpoint.restarts == count)
        until(lambda: ask(endpoint) == (200, b"a 1\n"))
    assert len(said) == 2
    assert f"by signal {number.value}" in said[0]
    assert "tracing goes on" in said[0]


def test_it_ends_with_the_tracer(tmp_path):
    """Killed, so that nothing of it closes anything; then the port is free."""
    code = (
        "import time\n"
        "from ksmtrace.serving.endpoint import Endpoint\n"
        "e = Endpoint('0', None, '/metrics', print); e.watch()\n"
        "print(e.address[1], e._keeper.pid, flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        port, keeper = map(int, run.stdout.readline().split())
        run.kill()
    until(lambda: not Path(f"/proc/{keeper}").exists() or status_of(keeper)["State"][0] == "Z")
    socket.create_server(("127.0.0.1", port)).close()


def test_a_tracer_that_publishes_to_a_stopped_process_does_not_wait(serve):
    endpoint = serve()
    pids = children(endpoint)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for number in range(200):
        endpoint.publish(Pages(b"a %d\n" % number, b""))
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    until(lambda: ask(endpoint) == (200, b"a 199\n"))


def test_a_thousand_silent_connections_hold_nobody_up(serve, said):
    endpoint = serve()
    own = len(os.listdir("/proc/self/fd"))
    code = (
        "import resource, socket, sys, time\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))\n"
        "held = []\n"
        "for n in range(1100):\n"
        "    held.append(socket.create_connection(('127.0.0.1', int(sys.argv[1]))))\n"
        "    held[-1].send([b'', b'GET /metrics', b'\\x16\\x03'][n % 3])\n"
        "print('there', flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(endpoint.address[1])], stdout=subprocess.PIPE, text=True
    ) as silent:
        assert silent.stdout.readline() == "there\n"
        for source in ("127.0.0.1", "127.0.0.2"):
            assert ask(endpoint, source=source) == (200, b"a 1\n")
        serving = children(endpoint)[1]
        held = [name for name in descriptors(serving) if name.startswith("socket:")]
        assert len(held) <= server.MOST_OF_ONE + 10
        assert len(os.listdir("/proc/self/fd")) <= own + 3
        silent.kill()
    assert (endpoint.restarts, said) == (0, [])


def test_who_says_nothing_is_told_so_in_the_end(serve, monkeypatch):
    """In another process, which does not see the patch: so here, the server by itself."""
    import asyncio

    from ksmtrace.serving.web_config import WebConfig

    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(server, "WHOLE_SECONDS", 0.5)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    answers = {}

    async def client(name, first):
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(first)
        answers[name] = await reader.read()
        writer.close()

    async def run():
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        serving = server.Server(listener, theirs, WebConfig(), "")
        serving._access.pages = Pages(b"a" * (1 << 24), b"")
        task = asyncio.create_task(serving.serve())
        _, slow = await asyncio.open_connection(*listener.getsockname(), limit=1)
        slow.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.gather(
            client("silent", b""),
            client("half", b"GET / HTTP/1.1\r\nHost: "),
            client("tls", b"\x16"),
        )
        while len(serving._connections):
            await asyncio.sleep(0.01)
        slow.close()
        ours.close()
        await task
        theirs.close()

    asyncio.run(run())
    listener.close()
    statuses = [answers[name].split()[1] for name in ("silent", "half", "tls")]
    assert statuses == [b"408", b"408", b"400"]


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET http://h:1/metrics HTTP/1.1", 200),
        ("GET http://h/metrics?name[]=a HTTP/1.1", 200),
        ("GET http://h/metrics?name[]=b HTTP/1.1", 404),
        ("GET /metrics?name[]=a&name[]=b HTTP/1.1", 200),
        ("GET https://h/nothing HTTP/1.1", 404),
        ("GET //metrics HTTP/1.1", 404),
        ("GET http://[/metrics HTTP/1.1", 400),
        ("OPTIONS * HTTP/1.1", 405),
        ("CONNECT h:1 HTTP/1.1", 405),
        ("POST /metrics HTTP/1.1", 405),
        ("GET /metrics HTTP/1.0", 200),
        ("GET /metrics SPDY/3", 400),
        ("get it", 400),
        ("GET /metrics?" + "name[]=x&" * 1001 + " HTTP/1.1", 400),
        ("GET /" + "x" * 40000 + " HTTP/1.1", 431),
    ],
)
def test_request_targets_and_methods(serve, request_line, status):
    lines = f"{request_line}\r\nHost: a\r\nAccept: \xff\xfe\r\nAccept-Encoding: \xe9\r\n\r\n"
    answer = exchange(serve(), lines.encode("latin-1"))
    assert int(answer.split()[1]) == status


def test_before_the_first_page_there_is_none(serve):
    endpoint = serve(pages=None)
    assert ask(endpoint)[0] == 503
    assert ask(endpoint, "/-/healthy")[0] == 200


@pytest.fixture
def secured(tmp_path):
    """A web configuration with TLS and a password; its key is for root alone."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o600)
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    path = tmp_path / "web.yml"
    context = ssl.create_default_context()
    authority.configure_trust(context)

    def write(more=""):
        path.write_text(f"tls_server_config: {{ cert_file: cert.pem, key_file: key.pem{more} }}\n")
        path.chmod(0o600)
        return path

    write()
    return path, context, write


def test_a_bad_change_is_answered_with_the_reason_also_by_tls(serve, said, secured):
    path, context, write = secured
    endpoint = serve(path)
    until(lambda: ask(endpoint, context=context)[0] == 200)
    for number in (1, 2):
        path.write_text("- no mapping")
        _, body = until(lambda: (found := ask(endpoint, context=context))[0] == 500 and found)
        assert b"must hold names and values" in body
        assert str(path).encode() in body
        write()
        until(lambda: ask(endpoint, context=context)[0] == 200)
        assert len(said) == number
    assert "answered with 500 until it is mended" in said[0]
    (path.parent / "key.pem").unlink()
    until(lambda: ask(endpoint, context=context)[0] == 500)
    path.unlink()
    until(lambda: b"cannot read" in ask(endpoint, context=context)[1])
    assert endpoint.restarts == 0


def test_a_changed_tls_setting_counts_for_new_connections(serve, secured):
    """Not the certificate alone: who must show one, and which versions there are."""
    path, context, write = secured
    endpoint = serve(path)
    until(lambda: ask(endpoint, context=context)[0] == 200)
    write(", client_auth_type: RequireAndVerifyClientCert, client_ca_file: cert.pem")

    def refused():
        try:
            return not exchange(endpoint, b"GET / HTTP/1.0\r\n\r\n", context=context)
        except (ssl.SSLError, ConnectionError):
            return True

    until(refused)
    path.write_text("")
    until(lambda: ask(endpoint)[0] == 200)


def test_a_password_is_asked_for_and_a_changed_one_counts(serve, tmp_path):
    path = tmp_path / "web.yml"

    def users(password):
        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
        path.write_text(json.dumps({"basic_auth_users": {"u": hashed}}))

    users("one")
    endpoint = serve(path)
    right, wrong = "Authorization: Basic dTpvbmU=", "Authorization: Basic dTp0d28="
    until(lambda: ask(endpoint, "/metrics", right)[0] == 200)
    for header in (wrong, "Authorization: Basic ?", "Authorization: Basic dQ==", "X: y"):
        assert ask(endpoint, "/metrics", header)[0] == 401
    users("two")
    until(lambda: ask(endpoint, "/metrics", wrong)[0] == 200)
    assert ask(endpoint, "/metrics", right)[0] == 401


def test_threads_and_descriptors_of_the_tracer_are_as_before():
    threads, own = threading.active_count(), sorted(os.listdir("/proc/self/fd"))
    for _ in range(2):
        endpoint = Endpoint("0", None, "/metrics", print)
        endpoint.watch()
        endpoint.publish(PAGES)
        until(lambda: ask(endpoint)[0] == 200)  # noqa: B023 - it is called at once
        endpoint.close()
    assert threading.active_count() == threads
    assert sorted(os.listdir("/proc/self/fd")) == own
