"""Behind a real nginx: nothing is buffered, and headers are trusted only if set so."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.viewers import StreamReader
from tests.ports import free_port
from tests.robustness.conftest import Program, Start
from tests.robustness.raw import eventually
from tests.server import once_below

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
pytestmark = pytest.mark.skipif(not Path(NGINX).exists(), reason="needs nginx")

# As docs/operations.md has it.
FULL = """
proxy_http_version 1.1;
proxy_set_header Host $http_host;
proxy_set_header X-Forwarded-For $remote_addr;
proxy_set_header X-Forwarded-Proto $scheme;
proxy_set_header X-Forwarded-Host $http_host;
proxy_read_timeout 1h;
client_max_body_size 20m;
"""


@contextmanager
def nginx(folder: Path, to_port: int, settings: str = "", at: str = "/") -> Iterator[int]:
    """A port that forwards to `to_port` by `proxy_pass`, with `settings`; it strips the prefix
    `at`."""
    port = free_port()
    to = f"http://127.0.0.1:{to_port}" + ("/" if at != "/" else "")  # a path makes nginx strip `at`
    folder.mkdir()
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n"
        "events { worker_connections 256; }\n"
        f"http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"server {{ listen 127.0.0.1:{port}; location {at} {{\n"
        f"proxy_pass {to}; {settings} }} }} }}\n"
    )
    process = subprocess.Popen([NGINX, "-c", str(config), "-e", f"{folder}/error.log"])
    try:

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        eventually(listens)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def get(port: int, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request("GET", path, headers=sent)
        answer = connection.getresponse()
        answer.read()
        return answer
    finally:
        connection.close()


def tokens(program: Program) -> dict[str, str]:
    assert program.state is not None
    found: dict[str, str] = json.loads((program.state / "tokens.json").read_text())
    return found


def test_a_bare_proxy_pass_with_loopback_owner_no_gives_a_stranger_401(
    start: Start, tmp_path: Path
) -> None:
    program = start("sound", "--loopback-owner", "no").wait_until_listening()
    with nginx(tmp_path / "nginx", program.port) as port:
        for path in (
            "/",
            "/stream",
            "/snapshot.jpg",
            "/status",
            "/healthz",
            "/metrics",
            "/page/page.js",
        ):
            assert get(port, path).status == 401, path
        bearer = f"Bearer {tokens(program)['watch']}"
        assert get(port, "/status", Authorization=bearer).status == 200


def test_a_proxy_that_sends_forwarding_headers_is_safe_without_a_setting(
    start: Start, tmp_path: Path
) -> None:
    program = start("sound").wait_until_healthy()
    with nginx(tmp_path / "nginx", program.port, FULL) as port:
        assert get(port, "/status").status == 401
        assert get(port, "/status", Host="localhost").status == 401


@pytest.mark.parametrize("settings", [FULL, ""], ids=["as documented", "bare, HTTP/1.0"])
def test_the_stream_passes_through_nginx_complete_and_without_delay(
    start: Start, tmp_path: Path, settings: str
) -> None:
    program = start("sound", "--loopback-owner", "no", environ={"PICTURE_BYTES": "30000"})
    program.wait_until_listening()
    bearer = f"Bearer {tokens(program)['watch']}"
    request = f"GET /stream HTTP/1.0\r\nHost: a.example\r\nAuthorization: {bearer}\r\n\r\n"

    def median_age_s(port: int) -> float:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as viewer:
            viewer.sendall(request.encode())
            reader, buffer = StreamReader(), bytearray(1 << 16)
            while len(reader.frames) < 200:
                count = viewer.recv_into(buffer)
                assert count, "the stream goes on"
                reader.take(memoryview(buffer)[:count])
        return statistics.median(arrival - stamp for _, stamp, arrival in reader.frames)

    with nginx(tmp_path / "nginx", program.port, settings) as port:
        once_below(0.1, lambda: median_age_s(port))


def test_behind_a_trusted_proxy_the_form_of_the_page_works(start: Start, tmp_path: Path) -> None:
    program = start("sound", "--loopback-owner", "no", "--trust-forwarded", "yes")
    program.wait_until_listening()
    with nginx(tmp_path / "nginx", program.port, FULL) as port:
        origin = f"http://127.0.0.1:{port}"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        body = json.dumps({"token": tokens(program)["owner"]})
        kind = {"Content-Type": "application/json", "Origin": origin}
        connection.request("POST", "/login", body, kind)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        cookie = str(answer.headers["Set-Cookie"]).partition(";")[0]
        assert cookie.startswith(f"turbostream_{port}=")
        for sent_origin, status in ((origin, 200), ("http://127.0.0.1:9", 403)):
            headers = {**kind, "Cookie": cookie, "Origin": sent_origin}
            connection.request("POST", "/prompt", json.dumps({"prompt": "x"}), headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
        connection.close()
