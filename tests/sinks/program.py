"""The real server with a fake engine, recording from its start on:
`python -m tests.sinks.program [options]`."""

from __future__ import annotations

import sys

from flask import Flask

from tests.robustness import program
from turbostream.sinks import open_sinks
from turbostream.web import app
from turbostream.web.context import AppContext
from turbostream.web.live.wakeup import Wakeup

create_app = app.create_app


def recording(context: AppContext, wakeup: Wakeup) -> Flask:
    open_sinks(context, record=True).start()
    return create_app(context, wakeup)


if __name__ == "__main__":
    app.create_app = recording
    sys.exit(program.main("sound", sys.argv[1:]))
