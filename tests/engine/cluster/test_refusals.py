"""Each reason why a cluster cannot be used is one sentence, and status 2."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest

from tests.engine.cluster.nodes import ROOT, Nodes
from tests.ports import free_port

# Run with an address: the cluster says from then on that it is of another version of Ray.
OTHER_VERSION = """
import sys
import ray
from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put
ray.init(address=sys.argv[1], log_to_driver=False, configure_logging=False)
key, place = b"CLUSTER_METADATA", b"cluster"
text = _internal_kv_get(key, namespace=place)
other = text.replace(ray.__version__.encode(), b"2.9.1")
assert other != text
_internal_kv_put(key, other, namespace=place)
"""
WITHOUT_RAY = "import sys; sys.modules['ray'] = None; import realtime_stream as r; "


def refused(*options: str, code: str = "import realtime_stream as r, sys; ", **environ: str) -> str:
    """The only line of a program that does not start."""
    arguments = ["--model-id", "demo", "--server-port", "0", "--engine", "ray", *options]
    done = subprocess.run(
        [sys.executable, "-c", f"{code}sys.exit(r.main({arguments!r}, {{}}))"],
        cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.endswith(".")
    return line


def test_without_ray_it_says_what_to_install() -> None:
    said = refused(code=WITHOUT_RAY)
    assert said == (
        f"ENGINE is ray, and Ray is not installed for {sys.executable}; run {sys.executable} -m "
        "pip install -r requirements-cluster.txt."
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("engine", "rays"),
        ("ray-address", "ray://127.0.0.1:10001"),
        ("ray-address", "127.0.0.1"),
        ("ray-workers", "0"),
        ("ray-workers", "65"),
    ],
)
def test_a_wrong_setting_is_named(option: str, value: str) -> None:
    assert refused(f"--{option}={value}").startswith(f"{option.upper().replace('-', '_')} must be ")


def test_an_address_where_nothing_listens() -> None:
    address = f"127.0.0.1:{free_port()}"
    said = refused("--ray-address", address)
    assert said.startswith(f"RAY_ADDRESS is {address}, which does not answer (Connection refused)")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
def test_an_address_where_something_else_listens(answer: bytes) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    connection.recv(1000)
                    connection.sendall(answer)
                except OSError:
                    continue

    serving = threading.Thread(target=serve, name="not Ray")
    serving.start()
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    try:
        said = refused("--ray-address", address)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        serving.join()
    assert said.startswith(f"RAY_ADDRESS is {address}, which does not answer (what answers is not")


def test_a_cluster_without_a_gpu_or_of_another_version_of_ray(nodes: Nodes) -> None:
    said = refused("--ray-address", nodes.address, "--device", "cuda", **nodes.environment)
    assert said.startswith("DEVICE is cuda, and no node of the Ray cluster has a GPU")
    environ = {**os.environ, **nodes.environment}
    subprocess.run([sys.executable, "-c", OTHER_VERSION, nodes.address], env=environ, check=True)
    said = refused("--ray-address", nodes.address, **nodes.environment)
    assert f"The Ray at RAY_ADDRESS {nodes.address} is 2.9.1 with Python " in said
