"""Who plays the show of `benchmarks.show_soak`: changes, looks, modulators and undo over HTTP."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections import Counter
from contextlib import suppress
from typing import Any

WORDS = (
    "three yellow stars on a night sky",
    "a red heart",
    "a blue house on a green field",
    "a white butterfly",
    "two green circles",
    "an orange sun over the sea",
)
LOOKS = 8  # names; saving one again replaces it
PAUSE_S = (1.0, 5.0)  # between two acts, least and most
PATIENCE_S = 60.0
TARGETS = ("speed", "brightness", "phase", "weight_2")
SHAPES = ("sine", "triangle", "saw", "square", "random")


def ask(port: int, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    """The status and the body of one answer; raises OSError and http.client.HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Actor(threading.Thread):
    """done: how often each act was answered, by "NAME STATUS". faults: answers of 500 and above,
    and requests without an answer. 404 and 409 are no faults: what is to be undone or recalled is
    chosen at random."""

    def __init__(self, port: int, seed: int) -> None:
        super().__init__(name="actor", daemon=True)
        self.done: Counter[str] = Counter()
        self.faults: list[str] = []
        self._port, self._chance, self._ending = port, random.Random(seed), threading.Event()

    def run(self) -> None:
        acts = (self.fade, self.fade, self.blend, self.modulate, self.save, self.recall,
                self.recall, self.undo, self.redo, self.walk)  # fmt: skip
        while not self._ending.wait(self._chance.uniform(*PAUSE_S)):
            act = self._chance.choice(acts)
            method, path, body = act()
            try:
                status, answer = ask(self._port, method, path, body)
            except (OSError, http.client.HTTPException) as error:
                self.faults.append(f"{act.__name__}: {error!r}")
                continue
            self.done[f"{act.__name__} {status}"] += 1
            if status >= 500:
                self.faults.append(f"{act.__name__}: {status} {answer[:200]!r}")

    def stop(self) -> None:
        self._ending.set()
        with suppress(RuntimeError):  # never started
            self.join(PATIENCE_S)

    # -- acts: (method, path, body) ----------------------------------------------------------------

    def fade(self) -> tuple[str, str, Any]:
        words = self._chance.choice(WORDS)
        return "PATCH", "/scene", {"prompt": words, "fade_s": self._fade_s()}

    def blend(self) -> tuple[str, str, Any]:
        texts = self._chance.sample(WORDS, self._chance.randint(2, 4))
        prompts = [{"text": text, "weight": self._chance.uniform(0.1, 2)} for text in texts]
        return "PATCH", "/scene", {"prompts": prompts, "fade_s": self._fade_s()}

    def modulate(self) -> tuple[str, str, Any]:
        chosen = self._chance.sample(TARGETS, self._chance.randint(0, 3))
        modulators = [
            {
                "parameter": name,
                "shape": self._chance.choice(SHAPES),
                "depth": round(self._chance.uniform(0.1, 1.0), 2),
                "period": round(self._chance.uniform(0.5, 8.0), 2),
                "unit": self._chance.choice(("beats", "seconds")),
            }
            for name in chosen
        ]
        bpm = self._chance.randint(60, 180)
        return "PATCH", "/scene", {"modulators": modulators, "bpm": bpm}

    def walk(self) -> tuple[str, str, Any]:
        speed = round(self._chance.uniform(0.0, 1.0), 2)
        values = {"speed": speed, "motion": self._chance.choice(("walk", "walk", "fresh"))}
        return "PATCH", "/scene", {**values, "fade_s": self._fade_s()}

    def save(self) -> tuple[str, str, Any]:
        return "PUT", f"/looks/{self._look()}", None

    def recall(self) -> tuple[str, str, Any]:
        return "POST", f"/looks/{self._look()}/recall", {"fade_s": self._fade_s()}

    def undo(self) -> tuple[str, str, Any]:
        return "POST", "/undo", {"fade_s": self._fade_s()}

    def redo(self) -> tuple[str, str, Any]:
        return "POST", "/redo", {"fade_s": self._fade_s()}

    def _fade_s(self) -> float:
        return self._chance.choice((0.0, 0.5, 2.0, 4.0))

    def _look(self) -> str:
        return f"look-{self._chance.randint(1, LOOKS)}"
