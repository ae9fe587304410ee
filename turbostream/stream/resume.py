"""What one process leaves to the next: the scene in force, beside what the settings began it with.

It is handed over together with the port (web/http/handover.py) and kept in a file for a restart
(scene_file.py). Pure data; times in it are relative.

Which of both scenes counts, for the words, for the seed with its phase and for the source:

- What nobody changed while the program ran comes from the new process's own settings.
- What somebody changed stays, at a restart and at a handover.
- Only at a restart, INITIAL_PROMPT or SEED with another value than before counts more than what was
  typed: whoever edits it and starts the program wants to see it. A handover interrupts nothing.
- The same holds for what frames start from, once SOURCE is given that was not before, or no more.

Motion and speed stay, since no setting gives them. The size is always the new process's own: its
engine was opened with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from turbostream.stream import scene_json
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import SceneError

FROM_SETTINGS = ("prompt", "seed", "source")


def left(scene: Scene, initial: Scene, time: float) -> dict[str, Any]:
    """What a process with `scene` in force leaves; `initial` is the one that its settings give.

    Words that nobody typed are left out: programs from before this format replace theirs by any
    that they find.
    """
    found = scene_json.to_json(scene, time)
    if scene.prompts == initial.prompts:
        del found["prompt"]
    return {**found, "initial": {name: getattr(initial, name) for name in FROM_SETTINGS}}


def resumed(found: object, initial: Scene, time: float, restart: bool) -> Scene:
    """The scene to go on with at `time`, from what `left` wrote; raises SceneError.

    `initial` is the scene that the new process's settings give; `restart` is False at a handover.
    """
    if not isinstance(found, Mapping):
        raise SceneError("The scene is not a JSON object.")
    fields = dict(found)
    began = fields.pop("initial", {})
    if not isinstance(began, Mapping):
        raise SceneError("The scene does not say what it began with.")
    typed = "prompt" in fields
    fields.setdefault("prompt", initial.prompt)
    scene = scene_json.from_json(fields, time)
    prompt_given = began.get("prompt", initial.prompt) != initial.prompt
    if typed and prompt_given and restart:
        scene = replace(scene, prompts=initial.prompts, words_from=None)
    seed_before = began.get("seed", initial.seed)
    if seed_before != initial.seed and (restart or scene.seed == seed_before):
        scene = replace(scene, walkers=initial.walkers, noise_from=None)
    source_before = began.get("source", "none")
    if source_before != initial.source and (restart or scene.source == source_before):
        scene = replace(scene, source=initial.source)
    return replace(scene, width=initial.width, height=initial.height)
