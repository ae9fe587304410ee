"""The engine with requests in flight, over a simulated device that runs asynchronously."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.engine.cuda.simulated import Device
from tests.engine.simulated_engine import FULL, Open, engines_of
from turbostream.engine import jpeg
from turbostream.engine.cuda.background_compiler import Outcome
from turbostream.engine.cuda.memory_plan import Plan, smaller
from turbostream.engine.cuda.streams import InFlight
from turbostream.engine.model.inputs import Value
from turbostream.engine.model.model import Kind, Model
from turbostream.stream.engine_api import EngineClosed, EngineUnusable
from turbostream.stream.shot import EarlierFrame, Prompts, Shot, ShotError, great_circle


@pytest.fixture
def open_engine(model: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    with engines_of(model, monkeypatch) as open_one:
        yield open_one


def shot(number: int, prompt: str = "a red circle") -> Shot:
    return Shot(((prompt, 1.0),), great_circle(number, number + 1, 0.3))


def pixels(jpeg: bytes) -> bytes:
    return Image.open(io.BytesIO(jpeg)).tobytes()


def test_every_picture_is_the_one_of_its_own_shot(open_engine: Open) -> None:
    plain, engine = open_engine(Plan(0, 1)), open_engine(delay_s=0.002)
    shots = [shot(n, f"a {'red' if n % 2 else 'blue'} star") for n in range(12)]
    wanted = [plain.submit([one]).result()[0].jpeg for one in shots]
    flights = []
    got = []
    for one in shots:
        flights.append(engine.submit([one]))
        if len(flights) >= engine.depth:
            got.append(flights.pop(0).result()[0].jpeg)
    got += [flight.result()[0].jpeg for flight in flights]
    assert got == wanted
    assert len(set(wanted)) == len(wanted)


def test_a_batch_keeps_its_order_and_a_batch_that_is_not_full_too(open_engine: Open) -> None:
    engine = open_engine(delay_s=0.001)
    shots = [shot(n) for n in range(5)]
    single = [engine.submit([one]).result()[0].jpeg for one in shots]
    assert [picture.jpeg for picture in engine.submit(shots).result()] == single
    assert [picture.jpeg for picture in engine.submit(shots[:3]).result()] == single[:3]


def test_the_same_shot_is_the_same_jpeg_two_hundred_times_in_any_company(
    open_engine: Open,
) -> None:
    engine = open_engine()
    known = {}
    for n in range(100):
        alone = engine.submit([shot(7)])
        company = engine.submit([shot(100 + n), shot(7), shot(200 + n)])
        for picture in (alone.result()[0], company.result()[1]):
            assert known.setdefault(picture.fingerprint, picture.jpeg) == picture.jpeg
    assert len(known) == 2  # batch 1 and batch 4 have each their own fingerprint


def test_handing_out_the_graphs_own_buffer_would_be_seen(
    open_engine: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Staging buffers prevent it: the next replay overwrites what is being encoded."""
    engine = open_engine(Plan(1, 1))
    wanted = [engine.submit([shot(n)]).result()[0].jpeg for n in range(2)]
    streams = engine.path(Kind())._streams
    assert streams is not None
    graph = streams._streams[0].graphs[1][1]

    def reused(request: InFlight) -> Any:
        request._buffer.done.synchronize()
        with torch.inference_mode():
            blank = {"noise": Value(torch.zeros(4, 8, 8))}
            blank["prompt_embedding"] = engine.model.encode_prompt(" ")
            second.append(streams.start([blank]))
        second[-1]._buffer.done.synchronize()
        return graph.output.numpy()[:1]

    second: list[InFlight] = []
    monkeypatch.setattr(InFlight, "pixels", reused)
    assert engine.submit([shot(0)]).result()[0].jpeg != wanted[0]


def test_a_better_way_is_taken_between_two_frames_and_says_so(open_engine: Open) -> None:
    engine = open_engine(delay_s=0.001)
    before = engine.submit([shot(1)]).result()[0]
    engine.path(Kind()).install(Outcome(1, "compile: a test", engine.model.denoise))
    after = [engine.submit([shot(1)]).result()[0] for _ in range(3)]
    assert before.fingerprint.endswith("graph batch-1")
    assert {picture.fingerprint for picture in after} == {"test compile batch-1"}
    assert {picture.jpeg for picture in after} == {before.jpeg}


def test_a_better_way_that_cannot_be_captured_leaves_the_stream_as_it_was(
    open_engine: Open,
) -> None:
    engine = open_engine()

    def broken(**inputs: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    engine.path(Kind()).install(Outcome(1, "compile: a test", broken))
    pictures = [engine.submit([shot(n)]).result()[0] for n in range(4)]
    assert {picture.fingerprint for picture in pictures} == {"test graph batch-1"}
    assert "could not be captured" in engine.choices["acceleration"]


def test_no_room_for_a_batch_makes_it_smaller_and_gives_every_picture(open_engine: Open) -> None:
    single = 4 * 8 * 8 * 4 + 40 * 128 * 4  # bytes of one shot's noise and prompt embedding
    engine = open_engine(Plan(2, 8), budget=6 * single)
    shots = [shot(n) for n in range(8)]
    wanted = [engine.submit([one]).result()[0].jpeg for one in shots]
    assert [picture.jpeg for picture in engine.submit(shots).result()] == wanted
    assert (engine.plan.streams, engine.plan.max_batch) == (2, 4) or engine.plan.max_batch < 8
    assert "did not fit" in engine.choices["memory"]


@pytest.mark.parametrize(("singles", "streams"), [(2, 2), (1, 1), (0, 0)])
def test_no_room_at_the_start_means_less_in_flight_then_the_plain_path(
    open_engine: Open, singles: int, streams: int
) -> None:
    single = 4 * 8 * 8 * 4 + 40 * 128 * 4
    engine = open_engine(Plan(2, 8), budget=singles * single)
    assert engine.plan.streams == streams
    assert engine.submit([shot(0)]).result()[0].jpeg


def test_a_card_that_can_capture_nothing_takes_the_plain_path_and_says_why(
    open_engine: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise RuntimeError("CUDA graphs are not supported\nstack")

    monkeypatch.setattr(Device, "capture", refuse)
    engine = open_engine()
    assert engine.submit([shot(0)]).result()[0].fingerprint == "test plain batch-1"
    assert engine.choices["acceleration"] == (
        "off: no graph can be captured (CUDA graphs are not supported)"
    )


def test_when_not_even_one_frame_fits_one_sentence_says_so(
    open_engine: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(Plan(0, 1))

    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(engine._plain, "paint", full)
    with pytest.raises(EngineUnusable, match="memory is too small even for one frame"):
        engine.submit([shot(0)])


def test_plans_shrink_until_there_is_none() -> None:
    assert smaller(Plan(2, 8), 8) == Plan(2, 4)
    assert smaller(Plan(2, 4), 1) == Plan(1, 1)
    assert smaller(Plan(1, 1), 1) == Plan(0, 1)
    assert smaller(Plan(0, 1), 1) is None


def test_a_closed_engine_says_so(open_engine: Open) -> None:
    engine = open_engine()
    engine.close()
    with pytest.raises(EngineClosed):
        engine.submit([shot(0)])


def test_a_shot_of_another_size_is_painted_plainly(open_engine: Open) -> None:
    engine = open_engine()
    picture = engine.submit([Shot.single("a star", 0, 128, 64)]).result()[0]
    assert Image.open(io.BytesIO(picture.jpeg)).size == (128, 64)
    assert "plain" in picture.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"prompts": tuple((f"{n} stars", 1 / 17) for n in range(17))},
        {"source": EarlierFrame(1), "strength": 0.5},
        {"steps": 5},
        {"adapters": (("ink", 1.0),)},
    ],
)
@pytest.mark.parametrize("plan", [Plan(0, 1), FULL])
def test_a_shot_that_the_model_cannot_honour_is_refused_and_the_next_one_painted(
    open_engine: Open, plan: Plan, change: dict[str, Any]
) -> None:
    engine = open_engine(plan)
    with pytest.raises(ShotError, match=r"^The shot .*\.$"):
        engine.submit([shot(1), replace(shot(2), **change)])
    assert engine.submit([shot(1)]).result()[0].jpeg


def test_one_step_asked_for_is_the_models_own_step(open_engine: Open) -> None:
    engine = open_engine(Plan(0, 1))
    pictures = engine.submit([shot(1), replace(shot(1), steps=1)]).result()
    assert engine.capabilities.steps == (1, 2, 3, 4)
    assert pictures[0].jpeg == pictures[1].jpeg


@pytest.mark.parametrize("plan", [Plan(0, 1), FULL])
def test_each_picture_has_the_brightness_of_its_own_shot_on_every_path(
    open_engine: Open, plan: Plan
) -> None:
    engine = open_engine(plan)
    levels = (1.0, 0.5, 0.0)
    batch = [replace(shot(n), brightness=level) for n in range(2) for level in levels]
    arrays, _ = engine._plain.paint([engine.model.values(one) for one in batch])
    expected = []
    for array, one in zip(arrays, batch, strict=True):
        array[..., :3] = np.rint(array[..., :3] * one.brightness)
        expected.append(jpeg.encode(array, 85))
    assert len(set(expected)) == 5  # both shots are black at 0
    assert [engine.submit([one]).result()[0].jpeg for one in batch] == expected
    assert [picture.jpeg for picture in engine.submit(batch).result()] == expected


@pytest.mark.parametrize("plan", [Plan(0, 1), FULL])
def test_mixed_and_single_prompts_in_one_batch_are_each_their_own_picture(
    open_engine: Open, plan: Plan
) -> None:
    engine = open_engine(plan, delay_s=0.002)
    mixes: list[Prompts] = [
        (("a red star", 1.0),),
        (("a red star", 0.7), ("a blue cat", 0.3)),
        (("a red star", 0.3), ("a blue cat", 0.7)),
        (("a blue cat", 1.0),),
        (("a red star", 0.3), ("a blue cat", 0.3), ("a house", 0.4)),
    ]
    batch = [replace(shot(1), prompts=prompts) for prompts in mixes]
    arrays, _ = engine._plain.paint([engine.model.values(one) for one in batch])
    expected = [jpeg.encode(array, 85) for array in arrays]
    assert len(set(expected)) == len(batch)
    assert [engine.submit([one]).result()[0].jpeg for one in batch] == expected
    assert [picture.jpeg for picture in engine.submit(batch).result()] == expected


def test_a_fade_in_flight_gives_each_frame_its_own_mix(open_engine: Open) -> None:
    plain, engine = open_engine(Plan(0, 1)), open_engine(delay_s=0.002)
    steps = [n / 24 for n in range(1, 24)]
    fade = [replace(shot(1), prompts=(("a star", 1 - w), ("a cat", w))) for w in steps]
    expected = [plain.submit([one]).result()[0].jpeg for one in fade]
    flights, got = [], []
    for one in fade:
        flights.append(engine.submit([one]))
        if len(flights) >= engine.depth:
            got.append(flights.pop(0).result()[0].jpeg)
    got += [flight.result()[0].jpeg for flight in flights]
    assert got == expected
    assert len(set(expected)) > 12


@pytest.mark.parametrize("plan", [Plan(0, 1), FULL])
def test_an_enlarged_picture_is_the_painted_one_resampled(open_engine: Open, plan: Plan) -> None:
    engine = open_engine(plan)
    wide, high = engine.model.own_size
    one = shot(1)
    base = {"base_width": wide, "base_height": high, "enlarging": "pixels"}
    large = replace(one, width=2 * wide, height=2 * high, **base)
    arrays, _ = engine._plain.paint([engine.model.values(one)])
    painted = Image.fromarray(arrays[0][..., :3])
    expected = np.asarray(painted.resize((2 * wide, 2 * high), Image.Resampling.LANCZOS), int)
    (picture,) = engine.submit([large]).result()
    assert picture.fingerprint.split()[-2] == ("graph" if plan.streams else "plain"), "no slower"
    assert abs(jpeg.decode(picture.jpeg) - expected).mean() < 4
    same = replace(one, width=wide, height=high, **base)
    assert engine.submit([same]).result()[0].jpeg == engine.submit([one]).result()[0].jpeg


def test_enlarged_noise_gives_a_picture_that_is_painted_at_its_size(open_engine: Open) -> None:
    engine = open_engine()
    wide, high = engine.model.own_size
    base = {"base_width": wide, "base_height": high, "enlarging": "noise"}
    large = replace(shot(1), width=2 * wide, height=2 * high, **base)
    noise = engine.model.values(large)["noise"].tensor
    assert tuple(noise.shape) == engine.model.latent_shape(2 * wide, 2 * high)
    own = engine.model.values(shot(1))["noise"].tensor
    blocks = noise.unfold(-1, 2, 2).unfold(1, 2, 2).sum((-1, -2)) / 2
    assert torch.allclose(blocks, own, atol=1e-5)
    (picture,) = engine.submit([large]).result()
    assert Image.open(io.BytesIO(picture.jpeg)).size == (2 * wide, 2 * high)


def test_a_picture_of_another_size_is_scaled_too(open_engine: Open) -> None:
    engine = open_engine()
    black = replace(Shot.single("a star", 0, 128, 64), brightness=0.0)
    assert not jpeg.decode(engine.submit([black]).result()[0].jpeg).any()


def shots(count: int) -> list[Shot]:
    return [Shot.single("a red circle", seed) for seed in range(count)]


def test_graphs_that_paint_as_the_plain_path_does_are_kept(open_engine: Open) -> None:
    engine = open_engine()
    engine.verify(shots(engine.depth))
    assert engine.plan == FULL


def test_graphs_that_paint_something_else_are_given_up_for_the_plain_path(
    open_engine: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint = Model.paint
    monkeypatch.setattr(Model, "paint", lambda self, **inputs: 255 - paint(self, **inputs))
    engine = open_engine()
    engine.verify(shots(engine.depth))
    assert not engine.plan.streams
    assert engine.choices["acceleration"].startswith("off: the graphs' picture differs")
    assert engine.submit(shots(1)).result()[0].jpeg
