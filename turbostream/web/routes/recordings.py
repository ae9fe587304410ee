"""`/recording` starts and stops one; `/recordings` lists, sends and deletes them. Only for owners.

Everything that waits for the disk runs off gevent's loop.
"""

from __future__ import annotations

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import (
    BadRequest,
    NotFound,
    RequestedRangeNotSatisfiable,
    ServiceUnavailable,
)
from werkzeug.http import quote_etag

from turbostream.stream.record_switch import NO_RECORDER
from turbostream.stream.recording import Recorder
from turbostream.web.auth.access_control import AccessControl
from turbostream.web.context import AppContext
from turbostream.web.live.file_body import FileBody, StoredFile, open_stored
from turbostream.web.live.off_loop import off_loop
from turbostream.web.routes.request_body import json_object

KINDS = {".mp4": "video/mp4", ".gz": "application/gzip", ".sources": "application/octet-stream"}
GONE = "There is no such recording; GET /recordings lists them."


def add_routes(app: Flask, context: AppContext, access: AccessControl) -> None:
    def recorder() -> Recorder:
        if context.recorder is None:
            raise ServiceUnavailable(NO_RECORDER)
        return context.recorder

    @app.get("/recording")
    def recording() -> Response:
        access.require_owner()
        return jsonify(recorder().status())

    @app.post("/recording")
    def record() -> Response:
        access.spend_change()
        on = json_object(request, ("on",)).get("on")
        if not isinstance(on, bool):
            raise BadRequest('Send {"on": true} or {"on": false}.')
        status = off_loop(recorder().start if on else recorder().stop)
        context.channel.touch()
        return jsonify(status)

    @app.get("/recordings")
    def recordings() -> Response:
        access.require_owner()
        return jsonify(recordings=off_loop(recorder().recordings))

    @app.get("/recordings/<name>")
    def send_recording(name: str) -> Response:
        access.require_owner()
        path = off_loop(recorder().path, name)
        try:
            return _answer(off_loop(open_stored, path), path.name, KINDS[path.suffix])
        except FileNotFoundError:
            raise NotFound(GONE) from None
        except OSError as error:
            raise ServiceUnavailable(
                f"The recording cannot be read ({error.strerror}); see RECORDINGS_DIR."
            ) from None

    @app.delete("/recordings/<name>")
    def delete_recording(name: str) -> Response:
        access.spend_change()
        off_loop(recorder().delete, name)
        context.channel.touch()
        return Response(status=204)


def _answer(file: StoredFile, name: str, kind: str) -> Response:
    """The file, or the one range that the request asks for; several are answered with the whole
    file. A recording in progress is sent as far as it reached when the request came."""
    etag = quote_etag(file.version)
    start, stop, partial = 0, file.size, False
    wanted, condition = request.range, request.if_range
    fits = condition.date is None and condition.etag in (None, file.version)
    if wanted is not None and wanted.units == "bytes" and len(wanted.ranges) == 1 and fits:
        found = wanted.range_for_length(file.size)
        if found is None:
            FileBody(file, 0, 0).close()
            raise RequestedRangeNotSatisfiable(
                file.size, "bytes", f"The file has {file.size:,} bytes; ask for some of these."
            )
        (start, stop), partial = found, True
    response = Response(FileBody(file, start, stop), content_type=kind)
    response.content_length = stop - start
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["ETag"] = etag
    response.headers["Content-Disposition"] = f'inline; filename="{name}"'
    if partial:
        response.status_code = 206
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    return response
