"""`POST /preview`: one picture of the scene with a patch, beside the stream. Changes nothing.

The picture is painted between two frames. The request waits for it in its own greenlet, which the
job's callback wakes from the generation thread.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import CancelledError, Future
from dataclasses import replace

from flask import Flask, Response, request
from werkzeug.exceptions import ServiceUnavailable

from turbostream.stream.engine_api import EngineError, Picture
from turbostream.stream.scene_checks import PATCHABLE
from turbostream.stream.shot import Shot, ShotError
from turbostream.stream.side_jobs import TooManyJobs
from turbostream.web.auth.access_control import AccessControl
from turbostream.web.context import AppContext
from turbostream.web.live.wakeup import Wakeup
from turbostream.web.routes.request_body import json_object
from turbostream.web.routes.requested import requested

log = logging.getLogger(__name__)

WAIT_S = 10.0
RETRY_AFTER_S = 2
HOW = ("fade_s", "easing")  # fields that say how a patch comes into force, not what it shows


def add_routes(app: Flask, context: AppContext, access: AccessControl, wakeup: Wakeup) -> None:
    supervisor = context.supervisor

    @app.post("/preview")
    def preview() -> Response:
        access.spend_change()
        channel = requested(context).channel
        patch = json_object(request, PATCHABLE)
        change, now = channel.snapshot()
        what = {name: value for name, value in patch.items() if name not in HOW}
        scene, number = change.scene.changed(now, what), channel.last_number + 1
        supervisor.check(channel.asked_shot(scene, now, number, what))
        shot = channel.taken(scene.shot_at(now, number, channel.usable, channel.own_guidance))
        if "brightness" not in patch:
            shot = replace(shot, brightness=1.0)  # a preview is visible while the stream is black
        picture = _painted(context, wakeup, shot)
        response = Response(picture.jpeg, content_type="image/jpeg")
        response.headers["X-Timestamp"] = f"{time.time():.6f}"
        return response


def _painted(context: AppContext, wakeup: Wakeup, shot: Shot) -> Picture:
    """Raises ServiceUnavailable with one sentence, and ShotError if the engine refuses the shot."""
    try:
        job = context.supervisor.paint(shot)
        job.add_done_callback(lambda _: wakeup.send())
        _wait(context, wakeup, job)
        return job.result(timeout=0)
    except (TimeoutError, CancelledError):  # `_wait` gave up
        sentence = f"The preview was not painted within {WAIT_S:g} s; try again."
        if context.stopping:
            sentence = "The program is stopping."
    except (TooManyJobs, EngineError) as error:
        sentence = str(error)
    except ShotError:
        raise
    except Exception as error:  # whatever an engine raises: the stream is not affected by it
        log.warning("[preview] failed (%s: %s)", type(error).__name__, error)
        sentence = f"The preview could not be painted ({type(error).__name__}); try again."
    raise ServiceUnavailable(sentence, retry_after=RETRY_AFTER_S)


def _wait(context: AppContext, wakeup: Wakeup, job: Future[Picture]) -> None:
    """Wait until `job` is done; cancel it after WAIT_S, or when the program stops."""
    deadline = time.monotonic() + WAIT_S
    while not job.done():
        left_s = deadline - time.monotonic()
        if left_s <= 0 or context.stopping:
            job.cancel()
            return
        wakeup.wait(min(left_s, 0.5))
