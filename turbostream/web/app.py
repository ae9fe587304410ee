"""The Flask application: routes, and one shape for every error.

`create_app` wires what it is given; importing this does nothing. Views run in gevent's loop and
never block it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, redirect, render_template, request
from werkzeug.exceptions import (
    BadRequest,
    Forbidden,
    HTTPException,
    NotFound,
    ServiceUnavailable,
    Unauthorized,
)
from werkzeug.wrappers import Response as BaseResponse

from turbostream.settings import Settings
from turbostream.stream.channel import Channel
from turbostream.stream.meter import Meter
from turbostream.stream.producer import Producer
from turbostream.stream.scene import PATCHABLE, SceneError
from turbostream.web import access, body, guard, multipart
from turbostream.web.viewers import Bell, Viewer, Viewers

log = logging.getLogger(__name__)

SNAPSHOT_WAIT_S = 10.0
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NO_STORE = "no-store, no-cache, must-revalidate, max-age=0"
EXAMPLES = (
    "a futuristic dog astronaut, oil painting",
    "a lighthouse in a storm, dramatic light",
    "neon koi in black water, top view",
    "a paper-cut forest, layers of blue",
    "portrait of a clockwork owl, macro photograph",
    "a city of coral at sunrise, watercolour",
)
SENTENCES = {
    404: "There is nothing at this address; the page is at /.",
    405: "This address does not take that method.",
    413: f"The request is too large; {body.MAX_BODY_BYTES // 1024} KB is the most.",
}


@dataclass
class Stage:
    """All that the web needs to know of the rest of the program."""

    settings: Settings
    channel: Channel
    producer: Producer
    meter: Meter
    model_id: str
    demo: bool
    words: Mapping[str, Any] | None = None  # what a small model knows; None: everything
    stopping: bool = False

    def is_stopping(self) -> bool:
        return self.stopping


def load_words(folder: Path | None) -> Mapping[str, Any] | None:
    """What a model knows, if its folder says so in words.json; no words and no answer else."""
    file = None if folder is None else folder / "words.json"
    if file is None or not file.is_file():
        return None
    words: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return words


def create_app(stage: Stage, bell: Bell) -> Flask:
    """The application over `stage`; `bell` rings when a frame was published."""
    app = Flask(__name__, static_folder="page", static_url_path="/page", template_folder="page")
    app.config["MAX_CONTENT_LENGTH"] = body.MAX_BODY_BYTES
    viewers = Viewers(stage.settings.max_viewers)
    parts_of = multipart.PartCache()
    channel, producer = stage.channel, stage.producer
    state_dir = stage.settings.state_dir.expanduser()
    guard.add_route(app, state_dir)

    @app.before_request
    def admit() -> None:
        if not access.is_owner(request.remote_addr or "", request.headers):
            raise Unauthorized(
                "Only this machine may ask; open the page through the tunnel, on localhost."
            )
        if access.crosses_sites(request.method, request.path, request.headers):
            raise Forbidden("Another site may not ask; open the page itself.")

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", NO_STORE)
        return response

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> BaseResponse:
        sentence = SENTENCES.get(error.code or 500) or error.description or "The request failed."
        response = jsonify(status="error", error=sentence)
        response.status_code = error.code or 500
        for name, value in error.get_headers():
            if name not in ("Content-Type", "Content-Length"):
                response.headers[name] = value
        return response

    @app.errorhandler(SceneError)
    def refuse_scene(error: SceneError) -> BaseResponse:
        return refuse(BadRequest(str(error)))

    @app.errorhandler(Exception)
    def fail(error: Exception) -> BaseResponse:
        log.error("[flask] %s %s failed", request.method, request.path, exc_info=error)
        response = jsonify(status="error", error="The server failed; its log says where.")
        response.status_code = 500
        return response

    @app.get("/")
    def index() -> str:
        scene = channel.scene
        return render_template(
            "index.html",
            prompt=scene.prompt,
            motion=scene.motion,
            speed=scene.speed,
            examples=(stage.words or {}).get("examples", EXAMPLES)[:6],
            demo=stage.demo,
            model=stage.model_id,
            words=stage.words,
        )

    @app.get("/stream")
    def stream() -> Response:
        interval_s = _interval_s(request.args.get("fps"))
        if viewers.full:
            raise ServiceUnavailable(
                f"All {viewers.most} places are taken; try again soon, or raise MAX_VIEWERS.",
                retry_after=5,
            )
        viewer = Viewer(channel, lambda: producer.state, bell, stage.is_stopping)

        def watch() -> Iterator[bytes]:
            log.info("[stream] Client connected.")
            try:
                with viewers.enter(viewer, channel):
                    yield from multipart.parts(viewer, parts_of, interval_s)
            finally:
                log.info("[stream] Client disconnected.")

        # A script reads the same bytes under a type that every browser's fetch() lets through.
        plain = request.accept_mimetypes.best == "application/octet-stream"
        response = Response(
            watch(),
            content_type="application/octet-stream" if plain else multipart.CONTENT_TYPE,
        )
        response.headers.update(
            {
                "Cache-Control": NO_STORE,
                "Pragma": "no-cache",
                "X-Accel-Buffering": "no",
                "Connection": "close",
                "X-Stream-Id": viewer.id,
                "X-Boundary": multipart.BOUNDARY,
            }
        )
        return response

    @app.post("/stream/<viewer_id>/shown")
    def shown(viewer_id: str) -> tuple[str, int]:
        number = body.json_object(request, ("frame",)).get("frame")
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise BadRequest('Send {"frame": n} with the number of the frame that was shown.')
        viewer = viewers.find(viewer_id)
        if viewer is None:
            raise NotFound("This stream has ended.")
        viewer.shown(number)
        return "", 204

    @app.get("/snapshot.jpg")
    def snapshot() -> Response:
        with channel.watched():
            after = channel.last_number
            deadline = time.monotonic() + SNAPSHOT_WAIT_S
            while (frame := channel.current()) is None or frame.number <= after:
                left_s = deadline - time.monotonic()
                if left_s <= 0 or producer.state.name == "failed" or stage.stopping:
                    raise ServiceUnavailable(
                        f"There is no picture yet: {producer.state.message}", retry_after=2
                    )
                bell.wait(min(left_s, 0.5))
        response = Response(frame.jpeg, content_type="image/jpeg")
        response.headers["X-Frame-Id"] = str(frame.number)
        response.headers["X-Timestamp"] = f"{frame.published:.6f}"
        return response

    @app.post("/prompt")
    def prompt() -> BaseResponse:
        log.info("[prompt] Request received")
        log.info("[prompt] Raw data received: %.200r", request.get_data()[:200])
        text, from_form = body.prompt_of(request)
        change = channel.change({"prompt": text})
        log.info("[prompt] => Successfully set to: %s", change.scene.prompt)
        if from_form:
            return redirect("/", code=303)
        return jsonify(status="ok", prompt=change.scene.prompt, frame=change.after)

    @app.get("/scene")
    def scene() -> BaseResponse:
        return jsonify(channel.scene.as_dict())

    @app.patch("/scene")
    def patch_scene() -> BaseResponse:
        change = channel.change(body.json_object(request, PATCHABLE))
        return jsonify(change.scene.as_dict())

    @app.get("/status")
    def status() -> BaseResponse:
        state = producer.state
        newest = channel.buffer.newest()
        download = None
        if state.total_bytes is not None:
            download = {"bytes": state.done_bytes, "total": state.total_bytes}
        return jsonify(
            {
                "state": state.name,
                "message": state.message,
                "now": time.time(),
                "download": download,
                "model": {"id": stage.model_id, "demo": stage.demo},
                "engine": producer.engine_facts,
                "prompt": channel.scene.prompt,
                "scene": channel.scene.as_dict(),
                "frame": newest.number if newest else 0,
                "viewers": len(viewers),
                "settings": stage.settings.as_text(),
                "guard": guard.read(state_dir, time.time()),
                **stage.meter.as_dict(time.monotonic()),
            }
        )

    @app.get("/healthz")
    def healthz() -> tuple[BaseResponse, int]:
        reason = producer.unhealthy()
        if reason is None:
            return jsonify(status="ok", state=producer.state.name), 200
        return jsonify(status="error", error=reason), 503

    app.json.sort_keys = False  # type: ignore[attr-defined]
    return app


def _interval_s(fps: str | None) -> float:
    """Seconds between frames for `?fps=`; 0 without it."""
    if fps is None:
        return 0.0
    try:
        value = float(fps)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 1000:
        raise BadRequest("The rate fps must be a number from 0.1 to 1000.")
    return 1.0 / value
