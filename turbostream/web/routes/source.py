"""`/source`: the input picture that frames may start from. Only for owners; a viewer sees what is
painted from it, never the picture itself.

Pictures are decoded off gevent's loop, one at a time; a few requests wait, more are refused before
their body is read.
"""

from __future__ import annotations

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import BadRequest, NotFound, ServiceUnavailable

from turbostream.stream.channel import Channel
from turbostream.stream.shot import ShotError
from turbostream.stream.source_status import Sources
from turbostream.web.auth.access_control import AccessControl
from turbostream.web.context import AppContext
from turbostream.web.live.off_loop import InTurn, off_loop
from turbostream.web.routes.requested import requested

MOST_BYTES = 20_000_000  # of one picture, even if MAX_BODY_BYTES is less
MOST_REQUESTS = 4  # with a picture, at once: each of them holds its body in memory
DECODING_S = 10.0
RETRY_AFTER_S = 2
FITS = ("cover", "contain")
MIRRORS = {"yes": True, "no": False}
NO_SOURCES = "This server takes no input pictures."


def add_routes(app: Flask, context: AppContext, access: AccessControl) -> None:
    supervisor = context.supervisor
    in_turn, places = InTurn(), _Places(MOST_REQUESTS)

    def sources() -> Sources:
        found = requested(context).sources
        if found is None:
            raise ServiceUnavailable(NO_SOURCES)
        return found

    @app.get("/source")
    def source() -> Response:
        access.require_owner()
        return jsonify(sources().status())

    @app.put("/source")
    def put_source() -> Response:
        access.spend_change()
        found, fit, mirror = sources(), _fit(), _mirror()
        channel = requested(context).channel
        if not channel.takes_sources:
            raise ShotError("The engine paints from words only, so it takes no input picture.")
        with places:
            access.accept_body(request, MOST_BYTES)
            data = request.get_data()
            if not data:
                raise BadRequest("The body is empty; send the bytes of one picture's file.")
            in_turn(found.put, data, fit, mirror, DECODING_S)
        return answer(channel, found, "picture")

    @app.delete("/source")
    def delete_source() -> Response:
        access.spend_change()
        found = sources()
        found.clear()
        return answer(requested(context).channel, found, "none")

    @app.get("/source.jpg")
    def source_picture() -> Response:
        access.require_owner()
        picture = off_loop(sources().picture)
        if picture is None:
            raise NotFound("There is no input picture; PUT /source sends one.")
        return Response(picture, content_type="image/jpeg")

    def answer(channel: Channel, found: Sources, kind: str) -> Response:
        """after: frames with a higher number are painted from what is in force now."""
        change = channel.change({"source": kind}, supervisor.check)
        after = max(change.after, channel.given_after)
        return jsonify(status="ok", source=found.status(), after=after)


class _Places:
    """A limit on requests at once; `with` takes one place, or raises ServiceUnavailable."""

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0

    def __enter__(self) -> None:
        if self._taken >= self._most:
            raise ServiceUnavailable(
                f"{self._most} pictures are being received, the maximum; send it again in a "
                "moment.",
                retry_after=RETRY_AFTER_S,
            )
        self._taken += 1

    def __exit__(self, *raised: object) -> None:
        self._taken -= 1


def _fit() -> str:
    fit = request.args.get("fit", FITS[0])
    if fit not in FITS:
        raise BadRequest(f"The fit is one of {', '.join(FITS)}.")
    return fit


def _mirror() -> bool:
    mirror = request.args.get("mirror", "no")
    if mirror not in MIRRORS:
        raise BadRequest("The mirror is yes or no.")
    return MIRRORS[mirror]
