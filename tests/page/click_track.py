"""Click tracks for Chromium's fake microphone, and the comparison with what the page heard."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

RATE = 48_000
SECTIONS = ((90, 18), (120, 24), (180, 30))  # (beats a minute, clicks)
AMPLITUDES = (0.8, 0.3, 0.5, 0.15)
NOISE = 0.004
TOLERANCE_S = 0.05


def click_times() -> tuple[np.ndarray, float]:
    """(when the clicks of the track begin [N], how long the track is), in seconds."""
    steps = np.concatenate([np.full(clicks, 60 / bpm) for bpm, clicks in SECTIONS])
    return np.concatenate([[0], np.cumsum(steps)[:-1]]) + 0.2, float(steps.sum())


def write_click_track(path: Path) -> None:
    """Writes clicks of four loudnesses over a constant noise."""
    times, length_s = click_times()
    noise = np.random.default_rng(17)
    sound = noise.normal(0, NOISE, round(length_s * RATE))
    t = np.arange(round(0.04 * RATE)) / RATE
    click = np.sin(2 * np.pi * 1500 * t) * np.exp(-t / 0.006)
    for i, time in enumerate(times):
        start = round(time * RATE)
        sound[start : start + len(click)] += AMPLITUDES[i % len(AMPLITUDES)] * click
    write_wav(path, sound)


def write_wav(path: Path, sound: np.ndarray) -> None:
    """sound: samples of -1 to 1 [N]."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())


def compare(heard: list[float], from_s: float, until_s: float) -> tuple[float, float]:
    """(share of the clicks that were heard, share of what was heard that is no click).

    heard: times of onsets on a clock of their own, of which `from_s` to `until_s` counts. The track
    repeats; it is shifted to where most of the onsets are clicks.
    """
    times, length_s = click_times()
    onsets = np.array([time for time in heard if from_s <= time <= until_s])
    assert len(onsets), "nothing was heard"
    best = (0.0, -1.0)
    for shift in (onsets[0] - times) % length_s:
        rounds = np.arange(-1, (until_s - shift) // length_s + 1) * length_s
        clicks = (shift + rounds[:, None] + times).ravel()
        clicks = clicks[(clicks >= from_s) & (clicks <= until_s)]
        near = np.abs(onsets[:, None] - clicks) < TOLERANCE_S  # [onset, click]
        best = max(best, (float(near.any(axis=0).mean()), -float((~near.any(axis=1)).mean())))
    return best[0], -best[1]
