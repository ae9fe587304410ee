"""What the session tells of the engine of the show: its settings, and the parts of a fingerprint.

A fingerprint ends with the kind of code (plain, graph or compile) and the batch size:
"demo@local torch-2.13.0+cpu ... jpeg-85 plain batch-1". Pure; any thread.
"""

from __future__ import annotations

import re

from turbostream.batch.replay.plan import Plan

# kind of code -> the ACCELERATION that paints with it from the first picture on
ACCELERATION = {"plain": "off", "graph": "graph", "compile": "compile"}


def settings_for(plan: Plan) -> list[str]:
    """The settings with which the pictures of the show are painted again, as options; later ones
    of the same name replace them."""
    header = plan.session.header
    values: dict[str, object] = {
        "model-id": header.model,
        "decoder": header.decoder,
        "jpeg-quality": header.quality,
    }
    values |= zip(("width", "height"), plan.painted_size, strict=True)
    if plan.repeats:
        shown = plan.fingerprints.most_common(1)[0][0]
        values["acceleration"] = ACCELERATION.get(kind(shown))
    return [f"--{name}={value}" for name, value in values.items() if value is not None]


def batch_size(fingerprint: str) -> int:
    found = re.search(r" batch-([0-9]{1,3})$", fingerprint)
    return max(1, int(found[1])) if found else 1


def kind(fingerprint: str) -> str:
    return fingerprint.rpartition(" batch-")[0].rpartition(" ")[2]


def base(fingerprint: str) -> str:
    """The fingerprint without the kind of code and the batch size."""
    return fingerprint.rpartition(" batch-")[0].rpartition(" ")[0]
