"""Which other sites may show the page in a frame and the pictures as images (EMBED_ORIGINS).

A frame and an `<img>` carry no `Origin`, so the `Referer` tells who embeds. A page can suppress its
`Referer` but not replace it by another site's, so a request without one is refused.

A named site can put its own content over the frame and lead the owner to click a control (the
cookie or the tunnel makes the frame the owner's); what the frame and the images show stays
unreadable for its scripts.
"""

from __future__ import annotations

import re

from werkzeug.datastructures import Headers

from turbostream.web.auth.security_headers import CSP

FRAMES = ("/",)
IMAGES = ("/stream", "/snapshot.jpg")


class Embedding:
    """The rules for `origins`, in lower case."""

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins
        self._policy = CSP.replace(
            "frame-ancestors 'none'", "frame-ancestors " + " ".join(sorted(origins))
        )

    def permits(self, method: str, path: str, headers: Headers) -> bool:
        """True for a frame or an image of a named site, in a request that its browser marks."""
        mode, kind = headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest")
        if path in FRAMES:
            embeds = mode == "navigate" and kind in ("iframe", "frame")
        else:
            embeds = path in IMAGES and mode == "no-cors" and kind == "image"
        return method == "GET" and embeds and self._names(headers)

    def open_response(self, path: str, asked: Headers, status: int, answer: Headers) -> None:
        """Replace the headers of a protected response that forbid what is permitted."""
        if not self._origins or status != 200:
            return
        if path in FRAMES:
            # The page reloads itself inside its frame, with its own Referer, so its policy names
            # the sites whoever asks. X-Frame-Options cannot name any.
            answer["Content-Security-Policy"] = self._policy
            answer.pop("X-Frame-Options", None)
        elif path in IMAGES and self._names(asked):
            answer["Cross-Origin-Resource-Policy"] = "cross-origin"

    def _names(self, headers: Headers) -> bool:
        found = re.match(r"https?://[^/?#]+", headers.get("Referer", "").lower())
        return found is not None and found[0] in self._origins
