"""Sends the OSC messages that arrive at a UDP port of this computer through the tunnel.

Usage: osc_bridge.py PARENT UDP_PORT TUNNEL_PORT

ssh forwards no UDP, so each datagram becomes a binary frame of the server's control socket.
tunnel_to_stream.sh starts it on the user's computer, and it ends when that process (PARENT) has
ended. Python 3.8 or newer, the standard library only. Its messages are for people, on stderr.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time

from control_socket import BINARY, ControlSocket, NoWebSocket

TICK_S = 0.005  # between two sends; meanwhile the newest datagram for each address is kept
STALE_S = 1.0  # what could not be sent for so long is dropped: the knob has moved on
RECONNECT_S = 0.5
REFUSED_S = 5.0  # after an answer that is not a WebSocket
LOOK_S = 0.5  # whether the tunnel still runs
MOST_WAITING = 256  # datagrams
MOST_UNSENT = 64 * 1024  # bytes; beyond it datagrams wait
MOST_SENTENCES = 50
DATAGRAM_BYTES = 65536


class Said:
    """Sentences on stderr, each once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def say(self, text: str) -> None:
        clean = "".join(c if c.isprintable() else "?" for c in text[:400])
        if clean in self._said or len(self._said) >= MOST_SENTENCES:
            return
        self._said.add(clean)
        sys.stderr.write(f"[tunnel_to_stream] {clean}\n")
        sys.stderr.flush()

    def forget(self, text: str) -> None:
        self._said.discard(text)


# --- datagrams ----------------------------------------------------------------------------------


class Waiting:
    """Datagrams until they are sent: the newest for each address, and in addition the press of a
    button whose release is newer."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[bytes, bool], tuple[float, bytes]] = {}

    def put(self, datagram: bytes, now: float) -> None:
        key = address(datagram), is_release(datagram)
        self._waiting.pop(key, None)  # to the end: the order of the newest
        self._waiting[key] = now, datagram
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]

    def take(self, now: float) -> list[bytes]:
        """Those that are recent enough to be sent; none waits afterwards."""
        found = [data for at, data in self._waiting.values() if now - at < STALE_S]
        self._waiting.clear()
        return found

    def clear(self) -> None:
        self._waiting.clear()

    def __len__(self) -> int:
        return len(self._waiting)


def address(datagram: bytes) -> bytes:
    """What a newer datagram replaces it by: the address, or the addresses in a bundle."""
    if not datagram.startswith(b"#bundle\0"):
        return datagram.partition(b"\0")[0]
    found, start = [b"#bundle"], 16
    while start + 4 <= len(datagram):
        size = int.from_bytes(datagram[start : start + 4], "big")
        found.append(datagram[start + 4 : start + 4 + size].partition(b"\0")[0])
        start += 4 + size
    return b"\0".join(found)


def is_release(datagram: bytes) -> bool:
    """Whether a message says 0 or false."""
    start = datagram.find(b"\0,") + 1
    tags = datagram[start:].partition(b"\0")[0]
    arguments = datagram[start + len(tags) // 4 * 4 + 4 :]
    return tags == b",F" or (tags in (b",i", b",f", b",h", b",d") and not any(arguments))


# --- the bridge ---------------------------------------------------------------------------------


class Bridge:
    def __init__(self, parent: int, udp_port: int, tunnel_port: int) -> None:
        self._parent, self._udp_port, self._tunnel_port = parent, udp_port, tunnel_port
        self._said = Said()
        self._waiting = Waiting()
        self._control: ControlSocket | None = None
        self._connect_at = self._send_at = 0.0
        self._ready = f"OSC messages to UDP port {udp_port} of this computer reach the stream."
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", udp_port))  # never more: whoever reaches it has control
        self._udp.setblocking(False)

    def run(self) -> None:
        """Until the tunnel ends."""
        look_at = 0.0
        while True:
            now = time.monotonic()
            if now >= look_at:
                if os.getppid() != self._parent:
                    return
                look_at = now + LOOK_S
            try:
                self._turn(now)
            except OSError:
                self._disconnect(now, RECONNECT_S)
            except NoWebSocket as refusal:
                self._said.say(str(refusal))
                self._disconnect(now, REFUSED_S)

    def _turn(self, now: float) -> None:
        if self._control is None and now >= self._connect_at:
            self._connect(now)
        control, reads, writes, timeout_s = self._control, [], [], LOOK_S
        if control is None:
            timeout_s = min(LOOK_S, self._connect_at - now)
        else:
            reads.append(control.socket)
            if control.unsent:
                writes.append(control.socket)
        if control is not None and self._waiting:
            timeout_s = max(0.0, self._send_at - now)  # then what has arrived is read together
        else:
            reads.append(self._udp)
        readable, _, _ = select.select(reads, writes, [], timeout_s)
        self._receive()
        if control is None:
            return
        if control.socket in readable:
            for message in control.read():
                self._report(message)
        now = time.monotonic()
        if self._waiting and now >= self._send_at:
            self._send_at = now + TICK_S
            if control.unsent < MOST_UNSENT:
                for datagram in self._waiting.take(now):
                    control.put(BINARY, datagram)
        control.write()

    def _connect(self, now: float) -> None:
        self._control = ControlSocket(self._tunnel_port)
        self._said.say(self._ready)
        if time.monotonic() - now > STALE_S:
            self._receive()
            self._waiting.clear()

    def _receive(self) -> None:
        now = time.monotonic()
        for _ in range(1000):
            try:
                self._waiting.put(self._udp.recv(DATAGRAM_BYTES), now)
            except BlockingIOError:
                return

    def _report(self, message: bytes) -> None:
        """Say what the server has refused."""
        if b'"error"' not in message:
            return  # the scene, many times a second
        try:
            found = json.loads(message.decode())
        except ValueError:
            return
        if isinstance(found, dict) and "error" in found:
            self._said.say(f"OSC: {found['error']}")

    def _disconnect(self, now: float, pause_s: float) -> None:
        if self._control is not None:
            self._control.socket.close()
            self._control = None
            self._said.forget(self._ready)
        self._connect_at = now + pause_s


def main(parent: int, udp_port: int, tunnel_port: int) -> int:
    try:
        bridge = Bridge(parent, udp_port, tunnel_port)
    except OSError as error:
        Said().say(
            f"OSC: the UDP port {udp_port} is unavailable ({error.strerror}): stop the program "
            "that uses it, or give --osc another port."
        )
        return 1
    bridge.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
