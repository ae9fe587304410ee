"""`?channel=NAME`: the channel of a request. Without it, the default one. Knows no route."""

from __future__ import annotations

from flask import Flask, g, request
from werkzeug.exceptions import BadRequest, NotFound

from turbostream.stream.channel_names import UnknownChannel
from turbostream.stream.live_channel import LiveChannel
from turbostream.web.context import AppContext

# What belongs to the default channel alone, by the beginning of the path.
OF_THE_DEFAULT = {
    "/setlist": "The setlist plays",
    "/recording": "Recordings are made",
    "/broadcast": "Broadcasts are made",
    "/clip": "Clips are made",
}


def requested(context: AppContext) -> LiveChannel:
    """The channel of this request; raises UnknownChannel."""
    return context.channels.get(request.args.get("channel"))


def check_channel(app: Flask, context: AppContext) -> None:
    """Refuse every request that names an unknown channel, or one that cannot do what is asked."""

    @app.before_request
    def check() -> None:
        try:
            live = requested(context)
        except UnknownChannel:
            if (visitor := g.get("visitor")) is None or visitor.channel is None:
                raise
            raise NotFound(
                f"The channel {visitor.channel} was removed; ask whoever gave you the link."
            ) from None
        if live is context.channels.default:
            return
        for path, what in OF_THE_DEFAULT.items():
            if request.path.startswith(path):
                default = context.channels.default.name
                raise BadRequest(f"{what} on the default channel, {default}; leave out ?channel=.")
