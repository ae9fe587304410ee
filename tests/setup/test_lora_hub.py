"""LoRAs from a hub: the file that is fetched, and one sentence where there is none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.test_lora_files import diffusers, save
from tests.setup.hub import REPOSITORY, Hub, environment_of, serve

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "turbostream/engine/weights/configs/sd15"
FETCH = """
import sys
from pathlib import Path
from turbostream.engine.weights import lora_places
from turbostream.stream.engine_api import EngineError
try:
    found = lora_places.fetch(sys.argv[1], "the model", Path(sys.argv[2]), lambda status: None)
    print([lora.path.name for lora in found])
except EngineError as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    folder = tmp_path / "repository"
    (folder / "more").mkdir(parents=True)
    save(folder / "ink.safetensors", diffusers())
    save(folder / "more" / "pixel.safetensors", diffusers())
    return Hub(folder)


@pytest.fixture
def environment(hub: Hub, tmp_path: Path) -> Iterator[dict[str, str]]:
    with serve(hub) as address:
        yield environment_of(address, tmp_path / "hub")


def fetched(place: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", FETCH, f"ink={place}", str(MODEL)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_a_named_file_is_fetched_and_found_again_without_the_hub(
    hub: Hub, environment: dict[str, str]
) -> None:
    place = f"{REPOSITORY}@v1:more/pixel.safetensors@0.5"
    assert fetched(place, environment) == "['pixel.safetensors']"
    # The header before the file.
    assert [name for name, _ in hub.fetched] == 2 * ["more/pixel.safetensors"]
    assert fetched(place, {**environment, "HF_HUB_OFFLINE": "1"}) == "['pixel.safetensors']"


def test_the_only_file_needs_no_name(hub: Hub, environment: dict[str, str]) -> None:
    del hub.files["more/pixel.safetensors"]
    hub.status = 503
    assert fetched(REPOSITORY, environment).startswith("EngineUnavailable: ")
    hub.status = 200
    assert fetched(REPOSITORY, environment) == "['ink.safetensors']"
    hub.status = 503
    assert fetched(REPOSITORY, environment) == "['ink.safetensors']"
    offline = {**environment, "HF_HUB_OFFLINE": "1"}
    assert fetched(REPOSITORY, offline) == "['ink.safetensors']"
    assert "has no complete copy" in fetched(f"{REPOSITORY}:another.safetensors", offline)


def test_what_is_not_there_is_one_sentence(hub: Hub, environment: dict[str, str]) -> None:
    several = fetched(REPOSITORY, environment)
    assert several == (
        f"EngineUnusable: LORAS: {REPOSITORY} of ink has 2 .safetensors files (ink.safetensors, "
        f"more/pixel.safetensors); name one after a colon, as in {REPOSITORY}:ink.safetensors."
    )
    assert not hub.fetched
    revision = fetched(f"{REPOSITORY}@v9", environment)
    assert "has no revision v9" in revision
    other = fetched("somebody/else", environment)
    assert "has no model" in other
    for sentence in (revision, other):
        assert sentence.startswith("EngineUnusable: ")
        assert "MODEL_ID" not in sentence
        assert sentence.count("\n") == 0
