"""`GET /`: the page of a channel, filled in with its scene; `GET /overview`: all channels."""

from __future__ import annotations

import hashlib
from pathlib import Path

from flask import Flask, g, render_template, request

from turbostream.stream.adapters import PREFIX
from turbostream.stream.parameters import PARAMETERS, as_json
from turbostream.stream.scene_checks import MOST_STEPS
from turbostream.web.context import AppContext
from turbostream.web.routes.requested import requested
from turbostream.web.routes.unread_words import unread_words

EXAMPLES = (
    "a futuristic dog astronaut, oil painting",
    "a lighthouse in a storm, dramatic light",
    "neon koi in black water, top view",
    "a paper-cut forest, layers of blue",
    "portrait of a clockwork owl, macro photograph",
    "a city of coral at sunrise, watercolour",
)


def add_routes(app: Flask, context: AppContext) -> None:
    assert app.static_folder is not None
    version, modules = _page_files(Path(app.static_folder))

    @app.get("/")
    def index() -> str:
        live = requested(context)
        scene, takes = live.channel.scene, live.channel.takes
        limited = g.visitor.channel is not None
        return render_template(
            "index.html",
            prompt=scene.prompt,
            motion=scene.motion,
            speed=scene.speed,
            fade_s=context.settings.fade_s,
            easing=context.settings.easing,
            examples=(context.words or {}).get("examples", EXAMPLES)[:6],
            demo=context.demo,
            model=context.model_id,
            words=context.words,
            parameters=as_json(),
            loras=[
                {"name": name, "label": name.removeprefix(PREFIX)}
                for name in PARAMETERS
                if name.startswith(PREFIX)
            ],
            steps=range(1, MOST_STEPS + 1) if takes is None else sorted(takes.steps),
            role=g.visitor.role,
            channel=live.name,
            further=live is not context.channels.default,
            several=len(context.channels) > 1 or limited,
            limited=limited,
            query=f"?channel={live.name}" if "channel" in request.args else "",
            version=version,
            modules=modules,
            warning=unread_words(context.supervisor, scene.prompt).get("warning", ""),
        )

    @app.get("/overview")
    def overview() -> str:
        return render_template("overview.html", role=g.visitor.role)


def _page_files(folder: Path) -> tuple[str, list[str]]:
    """(their version, since windows that share a worker must run the same files; the modules that
    the page's script imports, so that the browser can request all of them at once)."""
    files = sorted(folder.iterdir())
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files))
    own = ("page.js", "worker.js", "source_clock.js", "overview.js", "pictures.js")
    modules = [file.name for file in files if file.suffix == ".js" and file.name not in own]
    return digest.hexdigest()[:12], modules
