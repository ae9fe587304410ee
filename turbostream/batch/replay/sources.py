"""What the shots of a replay start from: input pictures of the session, and painted pictures.

`resolve` is given to the engine. The pixels of an earlier frame are made by the same function as in
the show, so the same JPEG gives the same pixels. Runs on the thread of the replay.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from turbostream.batch.replay.chain import REACH
from turbostream.sinks import source_file
from turbostream.sinks.source_file import Place, SourceFileError
from turbostream.stream.shot import InputPicture, ShotError, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ReplaySources:
    """file: of the session's input pictures, each at a place in `pictures`, by digest."""

    def __init__(self, file: Path, pictures: dict[str, Place]) -> None:
        self._file, self._pictures = file, pictures
        self._painted: OrderedDict[int, bytes | Path] = OrderedDict()

    def put(self, number: int, jpeg: bytes | Path) -> None:
        """The JPEG, or its file, of what shots name as frame `number`; the oldest is forgotten."""
        self._painted[number] = jpeg
        self._painted.move_to_end(number)
        # Frames that the session brought along are here beside painted ones, so twice the reach.
        if len(self._painted) > 2 * REACH:
            self._painted.popitem(last=False)

    def resolve(self, source: Source, width: int, height: int) -> NDArray[np.uint8]:
        """See `engine_api.Resolve`. At another size than the show's, pictures are fitted to it as
        they were fitted to the stage in the show: enlarged until they cover it."""
        if isinstance(source, InputPicture):
            return self._picture(source.sha256, width, height)
        from turbostream.sources.earlier import transformed

        jpeg = self._painted.get(source.number)
        if jpeg is None:
            raise ShotError(f"Frame {source.number}, which it starts from, has not been painted.")
        data = jpeg.read_bytes() if isinstance(jpeg, Path) else jpeg
        return transformed(data, source, width, height)

    def _picture(self, sha256: str, width: int, height: int) -> NDArray[np.uint8]:
        from PIL import Image

        from turbostream.sources.picture import staged
        from turbostream.sources.store import digest

        place = self._pictures.get(sha256)
        if place is None:
            raise ShotError("The input picture that it starts from is not stored.")
        try:
            pixels = source_file.read(self._file, place)
        except SourceFileError as error:
            raise ShotError(str(error)) from None
        if digest(pixels) != sha256:
            raise ShotError(f"{self._file} is of another session, or damaged; use its own copy.")
        if pixels.shape[:2] == (height, width):
            return pixels
        return staged(Image.fromarray(pixels), (width, height), "cover", mirror=False)
