#!/usr/bin/env python3
"""An endless stream of pictures, painted live from the words you type.

Wiring only. Start it, open http://localhost:8000 and type. `--help` lists every setting.
"""

from __future__ import annotations

# The guide's four settings. Edit them here, or give them in the environment or as options.
TARGET_FPS = 30
INITIAL_PROMPT = "three yellow stars on a night sky"
MODEL_ID = "auto"  # with an NVIDIA GPU stabilityai/sd-turbo, else the demo model in this folder
SERVER_PORT = 8000

import os  # noqa: E402
import sys  # noqa: E402

from turbostream import release  # noqa: E402

release.restart(__name__, "realtime_stream.py", sys.argv[1:], os.environ)  # first, for any python3

import logging  # noqa: E402
from collections.abc import Mapping, Sequence  # noqa: E402
from functools import partial  # noqa: E402

from turbostream import log_writer  # noqa: E402
from turbostream.engine import check_usable, open_engine, weights  # noqa: E402
from turbostream.settings import SettingError, Settings, load  # noqa: E402
from turbostream.start_screen import check  # noqa: E402
from turbostream.stream.awake import AwakeClock  # noqa: E402
from turbostream.stream.channel import Channel  # noqa: E402
from turbostream.stream.engine_api import EngineUnusable, Opener  # noqa: E402
from turbostream.stream.parameters import load_adapters  # noqa: E402
from turbostream.stream.repertoire import check_setting  # noqa: E402
from turbostream.stream.scene import Scene  # noqa: E402
from turbostream.stream.scene_file import SceneFile, file_of  # noqa: E402
from turbostream.stream.scheduled_channel import ScheduledChannel  # noqa: E402
from turbostream.stream.supervisor import Supervisor  # noqa: E402
from turbostream.stream.watchdog import Watchdog  # noqa: E402
from turbostream.web.auth.tokens import Tokens, load_tokens  # noqa: E402

log = logging.getLogger("turbostream")


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run until a signal; the exit status: 0, or 2 when the user has to change something."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    defaults = {"TARGET_FPS": TARGET_FPS, "INITIAL_PROMPT": INITIAL_PROMPT,
                "MODEL_ID": MODEL_ID, "SERVER_PORT": SERVER_PORT}  # fmt: skip
    try:
        settings, options = load(defaults, argv, environ)
        if options.share:
            from turbostream.web.auth.share_link import link

            print(link(settings, options.share, options.channel))
            return 0
        found = weights.find(settings.model_id, settings.device, settings.many_steps)
        check_usable(settings, found)
        kept = load_tokens(settings.state_folder)
        check_setting(settings)
    except (SettingError, EngineUnusable) as error:
        log.error("%s", error)
        return 2
    opener = partial(open_engine, settings, found)
    if options.check:
        return check(opener)
    return serve(settings, found, opener, kept, options.record)


def serve(
    settings: Settings, found: weights.Weights, opener: Opener, kept: Tokens, record: bool
) -> int:
    """Build the pieces, start the generation thread, serve until a signal."""
    from turbostream.control.osc import OscInput
    from turbostream.sinks import open_sinks
    from turbostream.sources import open_sources
    from turbostream.web.app import create_app
    from turbostream.web.context import AppContext, load_words
    from turbostream.web.http.server import until_signal
    from turbostream.web.live.wakeup import Wakeup
    from turbostream.web.public_port import PublicPort

    log_writer.take_over()  # from here on a log that nobody reads holds up nothing
    name, words, size = settings.channel_names[0], settings.initial_prompt, settings.size
    scene = Scene.single(words, "walk", 0.15, settings.seed, *size, load_adapters(settings.loras))
    channel = Channel(name, scene, fade_s=settings.fade_s, easing=settings.easing)
    awake, scheduled = AwakeClock(), ScheduledChannel(channel, settings.target_fps)
    sources = open_sources(settings, channel)
    supervisor = Supervisor([scheduled], partial(opener, resolve=sources.resolve), awake.now)
    known = found.model_id, found.demo, load_words(found.folder), kept
    context = AppContext(settings, scheduled, supervisor, *known, awake=awake.now, opened=sources)
    osc, sinks, wakeup = OscInput(settings, context.desk), open_sinks(context, record), Wakeup()
    context.datagram = osc.datagram
    scene_file = SceneFile(file_of(settings), channel, channel.scene, *context.kept)
    app = create_app(context, wakeup)
    port = PublicPort(app, context, scene_file, supervisor.unhealthy, sinks.start)
    limits = settings.engine_timeout_s, settings.loading_timeout_s
    watchdog = Watchdog(lambda now: supervisor.overdue(now, *limits), max(limits), awake)
    if osc.start() and port.open():
        for start in (supervisor.start, context.channels.start, watchdog.start):
            start()
        until_signal(lambda: supervisor.unusable is not None or port.closed)
    watchdog.stop()
    context.stopping = True
    wakeup.send_here()
    for stop in (osc.stop, port.close, context.channels.stop, sinks.stop, scene_file.stop):
        stop(timeout_s=1.0)
    status = 2 if (problem := supervisor.unusable or osc.problem or port.problem) else 0
    if status:
        log.error("%s", problem)
    if not supervisor.stop(timeout_s=1.0):
        # The thread is inside torch (loading, say), and an orderly exit would wait for it.
        logging.shutdown()
        os._exit(status)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
