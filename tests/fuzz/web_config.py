"""The web configuration: any file, beside a certificate and its key."""

from functools import cache

import trustme

from fuzz.common import documented, folder
from ksmtrace.serving.web_config import WebConfigFile, handed_over, taken_over

_HASH = "$2b$04$abcdefghijklmnopqrstuuVGOBYw7xTQc9bPmIGWbOyXuDCdKl2lG"


@cache
def _place():
    issued = trustme.CA().issue_cert("localhost")
    issued.private_key_pem.write_to_path(folder() / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder() / "cert.pem")
    return folder() / "web.yml"


def target(data):
    path = _place()
    path.write_bytes(data)
    with documented:
        config = WebConfigFile(path).current()
        assert taken_over(handed_over(config, "")) == (config, "")


def seeds():
    yield "users", f"basic_auth_users: {{a: '{_HASH}'}}\n".encode()
    yield (
        "tls",
        b"tls_server_config: {cert_file: cert.pem, key_file: key.pem, min_version: TLS12}\n",
    )
    yield "headers", b"http_server_config: {http2: false, headers: {X-Frame-Options: deny}}\n"
