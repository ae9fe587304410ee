"""The web over the real stream and the fake engine, without a socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.engines import ColourEngine, opens
from turbostream.settings import Settings
from turbostream.stream.channel import Channel
from turbostream.stream.scene import Scene
from turbostream.stream.scheduled_channel import ScheduledChannel
from turbostream.stream.supervisor import Supervisor
from turbostream.web.app import create_app
from turbostream.web.context import AppContext
from turbostream.web.live.wakeup import Wakeup


@pytest.fixture
def context(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[AppContext]:
    """Over a ColourEngine, or the kind of it that a test names as the fixture's parameter."""
    engine = getattr(request, "param", ColourEngine)()
    settings = Settings(
        target_fps=100,
        initial_prompt="first words",
        model_id="demo",
        server_port=0,
        max_viewers=2,
        state_dir=tmp_path,
    )
    channel = Channel("main", Scene.single(settings.initial_prompt))
    scheduled = ScheduledChannel(channel, settings.target_fps)
    supervisor = Supervisor([scheduled], opens(engine))
    supervisor.start()
    yield AppContext(settings, scheduled, supervisor, model_id="demo", demo=True)
    assert supervisor.stop(timeout_s=30.0)


@pytest.fixture
def client(context: AppContext) -> Iterator[FlaskClient]:
    wakeup = Wakeup()
    context.channel.buffer.listen(wakeup.send)
    app = create_app(context, wakeup)
    with app.test_client() as client:
        yield client
    wakeup.close()
