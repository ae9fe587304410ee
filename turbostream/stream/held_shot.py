"""The scene that holds the picture of a shot, such as the one inside a saved picture. Pure."""

from __future__ import annotations

from dataclasses import replace

from turbostream.stream.noise_path import Walker
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import MOST_MIXED, MOST_SEEDS, SceneError
from turbostream.stream.shot import Shot


def scene_of(shot: Shot, like: Scene) -> Scene:
    """The scene that holds the picture of `shot`, with the speed, the size and the rhythm of
    `like`, and without a source. Raises SceneError if `shot` mixes more prompts or seeds than a
    scene can."""
    if len(shot.noise) > MOST_SEEDS or max(map(len, (shot.prompts, shot.negative))) > MOST_MIXED:
        raise SceneError(
            f"The recipe mixes {len(shot.prompts)} prompts and {len(shot.noise)} seeds; "
            f"{MOST_MIXED} prompts and {MOST_SEEDS} seeds are the most."
        )
    return replace(
        like.without_fades(),
        prompts=shot.prompts,
        motion="hold",
        steps=shot.steps,
        guidance=shot.guidance,
        negative=shot.negative,
        source="none",
        adapters=shot.adapters,
        walkers=tuple(Walker(seed, 0.0, weight) for seed, weight in shot.noise),
    )
