"""MIDI devices for a page: a stand-in for `navigator.requestMIDIAccess`, after the Web MIDI API.

https://webaudio.github.io/web-midi-api/: a MIDIAccess whose `inputs` holds the connected ports,
each an EventTarget that dispatches MIDIMessageEvents while it is open.
"""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

FAKE = """(() => {
    class Port extends EventTarget {
        type = 'input';
        state = 'connected';
        connection = 'closed';
        #handler = null;
        constructor(id, name) { super(); Object.assign(this, {id, name}); }
        get onmidimessage() { return this.#handler; }
        set onmidimessage(handler) {
            this.removeEventListener('midimessage', this.#handler);
            this.#handler = handler;
            if (handler === null) return;
            this.addEventListener('midimessage', handler);
            this.open().catch(() => {});
        }
        async open() {
            if (devices.busy.includes(this.name))
                throw new DOMException('busy', 'InvalidAccessError');
            this.connection = 'open';
            return this;
        }
        async close() { this.connection = 'closed'; return this; }
    }
    class Access extends EventTarget {
        inputs = new Map();
        outputs = new Map();
        sysexEnabled = false;
        onstatechange = null;
        changed(port) {
            const event = new Event('statechange');
            Object.defineProperty(event, 'port', {value: port});
            this.dispatchEvent(event);
            this.onstatechange?.(event);
        }
    }
    const access = new Access();
    const devices = {
        asked: [],
        busy: [],
        refuse: false,
        plug(id, name) {
            const port = new Port(id, name);
            access.inputs.set(id, port);
            access.changed(port);
        },
        unplug(id) {
            const port = access.inputs.get(id);
            access.inputs.delete(id);
            port.state = 'disconnected';
            port.connection = 'closed';
            access.changed(port);
        },
        send(id, bytes, time = null) {
            const port = access.inputs.get(id);
            if (port?.connection !== 'open') return;
            const event = new MIDIMessageEvent('midimessage', {data: new Uint8Array(bytes)});
            if (time !== null) Object.defineProperty(event, 'timeStamp', {value: time});
            port.dispatchEvent(event);
        },
    };
    window.devices = devices;
    navigator.requestMIDIAccess = async (options) => {
        devices.asked.push(options);
        if (devices.refuse) throw new DOMException('denied', 'NotAllowedError');
        return access;
    };
})();"""


class Devices:
    """The devices of one window. Bytes are those of MIDI 1.0."""

    def __init__(self, page: Page) -> None:
        self._page = page
        page.add_init_script(FAKE)

    def plug(self, name: str, id: str | None = None) -> None:
        self._page.evaluate("([id, name]) => devices.plug(id, name)", [id or name, name])

    def unplug(self, id: str) -> None:
        self._page.evaluate("(id) => devices.unplug(id)", id)

    def send(self, id: str, *messages: list[int]) -> None:
        """Messages that arrive one after the other."""
        self._page.evaluate(
            "([id, all]) => all.forEach((bytes) => devices.send(id, bytes))", [id, list(messages)]
        )

    def knob(self, id: str, number: int, *values: int, channel: int = 1) -> None:
        self.send(id, *([0xB0 + channel - 1, number, value] for value in values))

    def press(self, id: str, number: int) -> None:
        """A note, on and off."""
        self.send(id, [0x90, number, 100], [0x90, number, 0])

    def set(self, **values: Any) -> None:
        self._page.evaluate("(values) => Object.assign(devices, values)", values)

    @property
    def asked(self) -> list[Any]:
        """The options of each request for access."""
        return list(self._page.evaluate("devices.asked"))
