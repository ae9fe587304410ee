"""A real RTMP server, nginx with its RTMP module (Debian: libnginx-mod-rtmp), and who reads it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.stream.running import wait_until

NGINX = Path("/usr/sbin/nginx")
MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
KEY = "sesame-4711"  # of all broadcasts of the tests


class RtmpServer:
    """`live` accepts any key, `locked` none. It can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.port, http = free_port(), free_port()
        self.url = f"rtmp://127.0.0.1:{self.port}/live/{KEY}"
        self.shown = f"rtmp://127.0.0.1:{self.port}/live/***"
        self._folder = folder
        self._config = folder / "nginx.conf"
        self._process: subprocess.Popen[bytes] | None = None
        temporary = " ".join(
            f"{kind}_temp_path {folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        self._config.write_text(
            f"load_module {MODULE}; daemon off; pid {folder}/pid; worker_processes 1;\n"
            f"error_log {folder}/error.log; events {{ worker_connections 64; }}\n"
            f"rtmp {{ server {{ listen 127.0.0.1:{self.port}; access_log off;\n"
            "application live { live on; }\n"
            f"application locked {{ live on; on_publish http://127.0.0.1:{http}/; }} }} }}\n"
            f"http {{ access_log off; {temporary}\n"
            f"server {{ listen 127.0.0.1:{http}; location / {{ return 403; }} }} }}\n"
        )

    def start(self) -> None:
        command = [str(NGINX), "-c", str(self._config), "-e", f"{self._folder}/error.log"]
        self._process = subprocess.Popen(command, start_new_session=True)
        wait_until(self._listens)

    def kill(self) -> None:
        """The master and its worker, as a machine that is switched off."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def read_back(source: str, seconds: float, to: Path) -> dict[str, Any]:
    """What ffprobe says of `seconds` of `source`, its streams and packets by kind."""
    command = ["ffmpeg", "-v", "error", "-t", str(seconds), "-i", source, "-c", "copy", "-y"]
    subprocess.run([*command, str(to)], timeout=seconds + 30, check=True)
    return probed(str(to))


def probed(source: str) -> dict[str, Any]:
    entries = "packet=codec_type,pts_time,flags:stream=codec_name,width,height,pix_fmt"
    command = ["ffprobe", "-v", "error", "-show_entries", entries, "-of", "json", source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return {
        "streams": {one["codec_name"]: one for one in found["streams"]},
        "video": [one for one in found["packets"] if one["codec_type"] == "video"],
    }


class Silent:
    """A port that accepts and says nothing."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])

    def close(self) -> None:
        with suppress(OSError):
            self._socket.close()


def pushers() -> dict[int, str]:
    """The command line of each process of this one that pushes, by its id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (folder / "cmdline").read_bytes().decode()
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if "push_process" in line and int(parent) == os.getpid():
                found[int(folder.name)] = line
    return found
