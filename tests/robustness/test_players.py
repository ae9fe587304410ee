"""Real players that send the watching token as a password in the address."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.robustness.conftest import Start


@pytest.mark.parametrize("player", ["ffmpeg", "mpv", "opencv", "curl"])
def test_a_player_opens_the_stream_by_an_address_with_a_password(start: Start, player: str) -> None:
    program = start("sound", "--loopback-owner", "no").wait_until_listening()
    token = json.loads((program.state / "tokens.json").read_text())["watch"]
    for password, opens in ((token, True), ("wrong" * 9, False)):
        assert PLAY[player](f"http://any:{password}@127.0.0.1:{program.port}") is opens


def ffmpeg(address: str) -> bool:
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        address + "/stream",
        "-frames:v",
        "3",
        "-f",
        "null",
        "-",
    ]
    return (
        subprocess.run(command, timeout=60, stdin=subprocess.DEVNULL, check=False).returncode == 0
    )


def mpv(address: str) -> bool:
    command = ["mpv", "--no-config", "--vo=null", "--ao=null", "--frames=3", address + "/stream"]
    return (
        subprocess.run(command, timeout=60, stdin=subprocess.DEVNULL, check=False).returncode == 0
    )


def opencv(address: str) -> bool:
    import cv2

    capture = cv2.VideoCapture(address + "/stream")
    try:
        return bool(capture.isOpened() and capture.read()[0])
    finally:
        capture.release()


def curl(address: str) -> bool:
    command = ["curl", "--silent", "--fail", "--output", "/dev/null", address + "/snapshot.jpg"]
    return subprocess.run(command, timeout=60, check=False).returncode == 0


PLAY = {"ffmpeg": ffmpeg, "mpv": mpv, "opencv": opencv, "curl": curl}
