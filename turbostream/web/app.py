"""The Flask application: routes, and one shape for every error.

`create_app` wires what it is given; importing this does nothing. Views run in gevent's loop and
never block it.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from flask import Flask, Response, g, jsonify, redirect, render_template, request
from werkzeug.exceptions import BadRequest, NotFound, ServiceUnavailable
from werkzeug.wrappers import Response as BaseResponse

from turbostream.stream.scene import PATCHABLE
from turbostream.stream.state import State
from turbostream.stream.supervisor import Supervisor
from turbostream.web import body, errors, guard, metrics, multipart
from turbostream.web.context import AppContext
from turbostream.web.gate import Gate
from turbostream.web.sender import LiveStream, Sender
from turbostream.web.viewers import Bell, Viewer, Viewers

log = logging.getLogger(__name__)

SNAPSHOT_WAIT_S = 10.0
NO_STORE = "no-store, no-cache, must-revalidate, max-age=0"
EXAMPLES = (
    "a futuristic dog astronaut, oil painting",
    "a lighthouse in a storm, dramatic light",
    "neon koi in black water, top view",
    "a paper-cut forest, layers of blue",
    "portrait of a clockwork owl, macro photograph",
    "a city of coral at sunrise, watercolour",
)


def create_app(stage: AppContext, bell: Bell) -> Flask:
    """The application over `stage`; `bell` rings when a frame was published."""
    app = Flask(__name__, static_folder="page", static_url_path="/page", template_folder="page")
    app.config["MAX_CONTENT_LENGTH"] = stage.settings.max_body_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]
    channel, supervisor = stage.channel, stage.supervisor
    version, modules = _page_files(Path(__file__).parent / "page")
    viewers = Viewers(stage.settings.max_viewers)
    sender = Sender(bell, stage.settings.dead_viewer_s, stage.awake)
    gate = Gate(app, stage.settings, stage.tokens)
    errors.add_handlers(app, gate.stranger_page)
    guard.add_route(app, stage.settings.state_folder)
    metrics.add_route(app, stage, viewers, sender.counts)

    @app.after_request
    def keep_nothing(response: Response) -> Response:
        response.headers.setdefault("Cache-Control", NO_STORE)
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
            role=g.visitor.role,
            version=version,
            modules=modules,
            warning=_left_out(supervisor, scene.prompt).get("warning", ""),
        )

    @app.get("/stream")
    def stream() -> Response:
        interval_s = _interval_s(request.args.get("fps"))
        if viewers.full:
            raise ServiceUnavailable(
                f"All {viewers.most} places are taken; try again soon, or raise MAX_VIEWERS.",
                retry_after=5,
            )
        # A script reads the same bytes under a type that every browser's fetch() lets through, and
        # says what it has shown.
        script = request.accept_mimetypes.best == "application/octet-stream"
        viewer = Viewer(
            channel, lambda: supervisor.status, bell, stage.is_stopping, script, stage.awake
        )

        @contextmanager
        def watching() -> Iterator[None]:
            log.info("[stream] Client connected.")
            try:
                with viewers.enter(viewer, channel):
                    yield
            finally:
                log.info("[stream] Client disconnected.")

        repeat_after_s = multipart.repeat_after_s(
            request.user_agent.string, request.headers.get("Sec-Fetch-Dest"), script
        )
        body_of = LiveStream(viewer, sender, watching, interval_s, repeat_after_s)
        response = Response(
            body_of,
            content_type="application/octet-stream" if script else multipart.CONTENT_TYPE,
            direct_passthrough=True,  # so that our server finds the LiveStream
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
            while (frame := channel.buffer.newest()) is None or frame.number <= after:
                left_s = deadline - time.monotonic()
                if left_s <= 0 or supervisor.status.state is State.FAILED or stage.stopping:
                    raise ServiceUnavailable(
                        f"There is no picture yet: {supervisor.status.message}", retry_after=2
                    )
                bell.wait(min(left_s, 0.5))
        response = Response(frame.jpeg, content_type="image/jpeg")
        response.headers["X-Frame-Id"] = str(frame.number)
        response.headers["X-Timestamp"] = f"{frame.published:.6f}"
        return response

    @app.post("/prompt")
    def prompt() -> BaseResponse:
        log.info("[prompt] Request received")
        gate.spend_change()
        log.info("[prompt] Raw data received: %.200r", request.get_data()[:200])
        text, from_form = body.field_of(request, "prompt")
        change = channel.change({"prompt": text})
        log.info("[prompt] => Successfully set to: %s", change.scene.prompt)
        if from_form:
            return redirect("./", code=303)  # the page, also under a proxy's prefix
        return jsonify(
            status="ok",
            prompt=change.scene.prompt,
            frame=change.after,
            **_left_out(supervisor, change.scene.prompt),
        )

    @app.get("/scene")
    def scene() -> BaseResponse:
        return jsonify(channel.scene.as_dict())

    @app.patch("/scene")
    def patch_scene() -> BaseResponse:
        gate.spend_change()
        change = channel.change(body.json_object(request, PATCHABLE))
        scene = change.scene
        return jsonify({**scene.as_dict(), **_left_out(supervisor, scene.prompt)})

    @app.get("/status")
    def status() -> BaseResponse:
        now = supervisor.status
        newest, scene = channel.buffer.newest(), channel.scene
        download = None
        if now.total_bytes is not None:
            download = {"bytes": now.done_bytes, "total": now.total_bytes}
        return jsonify(
            {
                "state": now.state,
                "message": now.message,
                "now": time.time(),
                "download": download,
                "model": {"id": stage.model_id, "demo": stage.demo},
                "engine": supervisor.engine_facts,
                "prompt": scene.prompt,
                **_left_out(supervisor, scene.prompt),
                "scene": scene.as_dict(),
                "frame": newest.number if newest else 0,
                "viewers": len(viewers),
                "role": g.visitor.role,
                "settings": stage.settings.as_text() if g.visitor.may_write else None,
                "guard": guard.read(stage.settings.state_folder, time.time()),
                **asdict(stage.meter.figures(time.monotonic())),
            }
        )

    @app.get("/healthz")
    def healthz() -> tuple[BaseResponse, int]:
        reason = supervisor.unhealthy()
        if reason is None:
            return jsonify(status="ok", state=supervisor.status.state), 200
        return jsonify(status="error", error=reason), 503

    return app


def _page_files(folder: Path) -> tuple[str, list[str]]:
    """(their version, since windows that share a worker must have come from the same files; the
    modules that the page's script imports, so that the browser can ask for all of them at once)."""
    files = sorted(folder.iterdir())
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files))
    own = ("page.js", "worker.js")
    modules = [file.name for file in files if file.suffix == ".js" and file.name not in own]
    return digest.hexdigest()[:12], modules


def _left_out(supervisor: Supervisor, prompt: str) -> dict[str, str]:
    """For an answer about `prompt`: what of it the model does not read; nothing if it reads all."""
    dropped = supervisor.dropped(prompt)
    if not dropped:
        return {}
    begin = dropped if len(dropped) <= 30 else f"{dropped[:29].rstrip(' ,.;')}…"
    return {
        "dropped": dropped,
        "warning": f"The model does not read this prompt from “{begin}” on; shorten it.",
    }


def _interval_s(fps: str | None) -> float:
    """Seconds between frames for `?fps=`; 0, no limit, without it or without a value."""
    if fps is None or not fps.strip():
        return 0.0
    try:
        value = float(fps)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 1000:
        raise BadRequest("The rate fps must be a number from 0.1 to 1000.")
    return 1.0 / value
