"""`POST /recipe`: holds the picture of a given shot, such as the one inside a saved picture."""

from __future__ import annotations

from collections.abc import Container

from flask import Flask, jsonify, request
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from turbostream.stream.held_shot import scene_of
from turbostream.stream.scene_checks import check, check_prompt
from turbostream.stream.shot import Shot, ShotError
from turbostream.stream.shot_json import from_json
from turbostream.web.auth.access_control import AccessControl
from turbostream.web.context import AppContext
from turbostream.web.routes.request_body import json_object
from turbostream.web.routes.requested import requested
from turbostream.web.routes.scene_answer import scene_answer
from turbostream.web.routes.unread_words import unread_words

FIELDS = ("shot", "fingerprint", "fade_s")


def add_routes(app: Flask, context: AppContext, access: AccessControl) -> None:
    supervisor = context.supervisor

    @app.post("/recipe")
    def recall_recipe() -> Response:
        access.spend_change()
        body = json_object(request, FIELDS)
        if "shot" not in body:
            raise BadRequest('The field "shot" is missing; send {"shot": {...}}.')
        channel = requested(context).channel
        fingerprint = body.get("fingerprint", "")
        if not isinstance(fingerprint, str):
            raise BadRequest(
                "The fingerprint must be text; send that of the picture or leave it out."
            )
        fade_s = check("fade_s", body["fade_s"]) if "fade_s" in body else None
        try:
            shot = from_json(body["shot"])
            _check(shot)
            supervisor.check(shot)
            _check_adapters(shot, dict(channel.scene.adapters))
        except ShotError as error:
            raise BadRequest(str(error)) from None
        change = channel.recall(scene_of(shot, like=channel.scene), fade_s)
        warning = unread_words(supervisor, change.scene.prompt) or _of_another_model(
            fingerprint, str(supervisor.engine_facts.get("fingerprint", ""))
        )
        return jsonify({**scene_answer(channel, change), **warning})


def _of_another_model(painted_by: str, here: str) -> dict[str, str]:
    """A warning if the models differ; the first word of a fingerprint names the model."""
    model, own = painted_by.partition(" ")[0], here.partition(" ")[0]
    if not model or not own or model == own:
        return {}
    return {
        "warning": f"The picture was painted by the model {model[:80]} and this stream uses "
        f"{own[:80]}, so it looks different here."
    }


def _check_adapters(shot: Shot, loaded: Container[str]) -> None:
    for name, _ in shot.adapters:
        if name not in loaded:
            raise BadRequest(f"The picture uses the LoRA {name[:40]!r}, which is not loaded here.")


def _check(shot: Shot) -> None:
    """Raises BadRequest or SceneError for a shot that no scene can hold.

    The size is not compared: the picture is painted at the size of this stream.
    """
    if shot.source is not None:
        raise BadRequest("The picture was painted from another picture, which it does not hold.")
    check("steps", shot.steps)
    check("guidance", shot.guidance)
    negative = tuple(pair for pair in shot.negative if pair[0])
    if any(check_prompt(text) != text for text, _ in shot.prompts + negative):
        raise BadRequest(
            "A prompt of the picture begins or ends with a space or holds a line break; type it "
            "instead."
        )
