"""The endpoint behind TLS and basic authentication, with curl and a real Prometheus as clients."""

import datetime
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time

import bcrypt
import pytest
import trustme

from conftest import cannot
from support.command import KSMTRACE
from support.prometheus import fetch, free_port, running, until

SECRET = "correct horse"
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)

PROMETHEUS = """
global: {{ scrape_interval: 1s }}
scrape_configs:
  - job_name: right
    scheme: https
    tls_config: {{ ca_file: {ca} }}
    basic_auth: {{ username: prometheus, password: "{secret}" }}
    static_configs: [ {{ targets: ["localhost:{port}"] }} ]
  - job_name: wrong_password
    scheme: https
    tls_config: {{ ca_file: {ca} }}
    basic_auth: {{ username: prometheus, password: wrong }}
    static_configs: [ {{ targets: ["localhost:{port}"] }} ]
  - job_name: plain
    static_configs: [ {{ targets: ["localhost:{port}"] }} ]
"""


def issue(authority, directory, **dates):
    issued = authority.issue_cert("localhost", "127.0.0.1", **dates)
    issued.private_key_pem.write_to_path(directory / "key.pem")
    issued.cert_chain_pems[0].write_to_path(directory / "cert.pem")


@pytest.fixture
def authority(tmp_path):
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    issue(made, tmp_path)
    hashed = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(4)).decode()
    (tmp_path / "web.yml").write_text(
        "tls_server_config: { cert_file: cert.pem, key_file: key.pem }\n"
        f"basic_auth_users: {{ prometheus: '{hashed}' }}\n"
    )
    return made


@pytest.fixture
def serving(bundled_capture, authority, tmp_path):
    """The process of a replay that has ended and goes on serving, and its port."""
    port = free_port()
    command = [KSMTRACE, "replay", str(bundled_capture), "--json", "--listen", f"127.0.0.1:{port}"]
    command += ["--web-config", str(tmp_path / "web.yml")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert "still serving" in run.stderr.readline()
        yield run, port
        run.terminate()
        out, err = run.communicate(timeout=30)
        assert run.returncode == 0
        assert json.loads(out)["source"] == "capture"
        assert err == ""


def curl(request, tmp_path, url, *options):
    """curl's exit status, the HTTP status and the body."""
    if shutil.which("curl") is None:
        cannot(request, "--require-live", "needs curl (make test installs it)")
    command = ["curl", "-sS", "--max-time", "20", "--cacert", str(tmp_path / "ca.pem")]
    ran = subprocess.run(
        [*command, "-w", "\n%{http_code}", *options, url],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    body, _, status = ran.stdout.rpartition("\n")
    return ran.returncode, int(status), body


def threads(run):
    with open(f"/proc/{run.pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Threads:"))


def test_curl_with_and_without_the_password(request, serving, tmp_path):
    _, port = serving
    url = f"https://127.0.0.1:{port}/metrics"
    code, status, body = curl(request, tmp_path, url, "-u", f"prometheus:{SECRET}")
    assert (code, status) == (0, 200)
    assert "ksmtrace_sharing_pages" in body
    for user in ((), ("-u", "prometheus:wrong"), ("-u", f"nobody:{SECRET}"), ("-u", "prometheus:")):
        code, status, body = curl(request, tmp_path, url, *user)
        assert (code, status, body) == (0, 401, "Unauthorized\n")
    code, status, _ = curl(request, tmp_path, f"http://127.0.0.1:{port}/metrics")
    assert code in (52, 56)  # closed without an answer
    assert status == 0


def test_a_renewed_certificate_is_served_and_an_expired_one_refused_by_the_client(
    request, serving, authority, tmp_path
):
    _, port = serving
    url = f"https://127.0.0.1:{port}/-/healthy"
    user = ("-u", f"prometheus:{SECRET}")
    assert curl(request, tmp_path, url, *user)[:2] == (0, 200)
    issue(authority, tmp_path, not_before=PAST, not_after=PAST + datetime.timedelta(days=1))
    until(lambda: curl(request, tmp_path, url, *user)[0] == 60)  # it is looked at now and then
    assert curl(request, tmp_path, url, "--insecure", *user)[:2] == (0, 200)
    issue(authority, tmp_path)
    until(lambda: curl(request, tmp_path, url, *user)[:2] == (0, 200))


def test_prometheus_scrapes_with_the_password_alone(request, serving, tmp_path):
    if shutil.which("prometheus") is None:
        cannot(request, "--require-live", "needs Debian's prometheus (make test installs it)")
    _, port = serving
    config = PROMETHEUS.format(ca=tmp_path / "ca.pem", secret=SECRET, port=port)
    (tmp_path / "prometheus.yml").write_text(config)
    own = free_port()
    with running(
        "prometheus", f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{own}",
    ):  # fmt: skip

        def scraped():
            answer = json.loads(fetch(f"http://127.0.0.1:{own}/api/v1/targets"))
            found = {t["labels"]["job"]: t for t in answer["data"]["activeTargets"]}
            done = len(found) == 3 and all(t["health"] != "unknown" for t in found.values())
            return found if done else None

        targets = until(scraped)
    assert {job: target["health"] for job, target in targets.items()} == {
        "right": "up",
        "wrong_password": "down",
        "plain": "down",
    }
    assert "401" in targets["wrong_password"]["lastError"]


def test_silent_and_many_connections_hold_nobody_up(serving, authority, tmp_path):
    """Silent connections, half a handshake, half a request, and 200 scrapers at once."""
    run, port = serving
    before = threads(run)
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for connection in silent[10:]:
        connection.send(b"\x16\x03\x01\x02\x00\x01")
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    half = context.wrap_socket(
        socket.create_connection(("127.0.0.1", port)), server_hostname="localhost"
    )
    half.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\n")
    statuses = []

    def scrape():
        with context.wrap_socket(
            socket.create_connection(("127.0.0.1", port), timeout=60), server_hostname="localhost"
        ) as tls:
            word = "cHJvbWV0aGV1czpjb3JyZWN0IGhvcnNl"
            tls.sendall(
                b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                + f"Authorization: Basic {word}\r\n\r\n".encode()
            )
            answer = b""
            while piece := tls.recv(65536):
                answer += piece
        statuses.append((answer.split()[1], b"ksmtrace_sharing_pages" in answer))

    scrapers = [threading.Thread(target=scrape) for _ in range(200)]
    for scraper in scrapers:
        scraper.start()
    for scraper in scrapers:
        scraper.join()
    assert statuses == [(b"200", True)] * 200
    for connection in (*silent, half):
        connection.close()
    deadline = time.monotonic() + 30
    while threads(run) > before + 1 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert threads(run) <= before + 1  # the one that checks passwords stays
