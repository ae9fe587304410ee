"""The step from a picture against diffusers' own image-to-image pipeline, from the same noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionImg2ImgPipeline
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from numpy.typing import NDArray
from PIL import Image

from tests.engine.conftest import CPU, no_pictures, pipeline
from turbostream import private_names
from turbostream.engine import weights
from turbostream.engine.cuda import parity
from turbostream.engine.model.loading import load_pipeline
from turbostream.engine.model.model import Kind, Model
from turbostream.engine.model.schedule import StepTable
from turbostream.engine.model.steps import predicted
from turbostream.engine.rewrite import traced
from turbostream.engine.rewrite.timesteps import TimeTable
from turbostream.stream.shot import EarlierFrame, Shot, ShotError, Source

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
PAIRS = 40
OBJECTS = ("star", "heart", "cat", "house", "tree")
COLOURS = ("red", "blue", "yellow", "green", "white", "black", "orange", "pink")
# fp32 on both sides; only the order of additions differs.
LATENT_TOLERANCE = 1e-4


def picture(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """A bright shape on a coloured gradient, another one for each number."""
    random = np.random.default_rng(number)
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    ground = random.uniform(0, 200, 3) + random.uniform(-90, 90, 3) * (x + y)[..., None]
    inside = np.hypot(x - random.uniform(0.2, 0.8), y - random.uniform(0.2, 0.8)) < 0.25
    pixels = np.where(inside[..., None], random.uniform(0, 255, 3), ground)
    return np.asarray(pixels.clip(0, 255), np.uint8)


def resolve(source: Source, width: int, height: int) -> NDArray[np.uint8]:
    assert isinstance(source, EarlierFrame)
    return picture(source.number, width, height)


def shot(number: int, strength: float, **others: Any) -> Shot:
    """The pair of a source and words with this number, from 1."""
    words = f"a {COLOURS[number % 8]} {OBJECTS[number % 5]}"
    return Shot(((words, 1.0),), ((number, 1.0),), EarlierFrame(number), strength, **others)


class Case:
    """One architecture: the pipeline of diffusers and our model, with the same weights."""

    def __init__(
        self, make: Callable[[], Any], side: int, theirs: Callable[..., Any] | None = None
    ) -> None:
        """theirs: makes diffusers' pipeline of the components; Stable Diffusion's by default."""
        self.make, self.side = make, side
        self.ours = Model(make(), CPU, resolve=resolve)
        if theirs is None:
            theirs = partial(StableDiffusionImg2ImgPipeline, requires_safety_checker=False)
        self.theirs = theirs(**make().components)
        self.theirs.set_progress_bar_config(disable=True)

    def shot(self, number: int, strength: float) -> Shot:
        return shot(number, strength, width=self.side, height=self.side)

    def expected(self, one: Shot) -> torch.Tensor:
        """Latents by diffusers: one step at the timestep of the strength."""
        assert isinstance(one.source, EarlierFrame)
        assert one.strength is not None
        latents: torch.Tensor = self.theirs(
            one.prompt,
            image=Image.fromarray(resolve(one.source, self.side, self.side)),
            strength=1.0,
            num_inference_steps=1,
            timesteps=[round(1000 * one.strength) - 1],
            guidance_scale=0.0,
            generator=torch.Generator().manual_seed(one.noise[0][0]),
            output_type="latent",
        ).images
        return latents

    def painted(self, shots: list[Shot]) -> torch.Tensor:
        """Our latents of one batch."""
        values = [self.ours.values(one) for one in shots]
        inputs = {name: torch.stack([v[name].tensor for v in values]) for name in values[0]}
        return self.ours.sampler.sampling(**inputs)

    @torch.inference_mode()
    def refusal(self, shots: list[Shot]) -> str | None:
        """Why the batch is not what diffusers makes of each of its shots; None if it is."""
        for one, latents in zip(shots, self.painted(shots), strict=True):
            theirs = self.expected(one)
            error = parity.relative_error(latents[None], theirs)
            if error > LATENT_TOLERANCE:
                return f"latents of {one.prompt} at {one.strength}: {error:.1e}"
            pixels = self.ours.decode(latents[None])[0, ..., :3]
            vae = self.theirs.vae
            decoded = vae.decode(theirs / vae.config.scaling_factor, return_dict=False)[0]
            (image,) = self.theirs.image_processor.postprocess(decoded, "pil")
            quality = parity.psnr(pixels, torch.from_numpy(np.array(image)))
            if quality < parity.PSNR_LIMIT:
                return f"picture of {one.prompt} at {one.strength}: {quality:.0f} dB"
        return None


def architecture(prediction: str, full_vae: bool) -> Any:
    pipe = pipeline()
    config = {**pipe.scheduler.config, "prediction_type": prediction}
    pipe.scheduler = EulerDiscreteScheduler.from_config(config)
    if full_vae:
        torch.manual_seed(1)
        pipe.vae = AutoencoderKL(
            block_out_channels=(8, 8, 16, 16),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            norm_num_groups=4,
            scaling_factor=0.18215,
        )
        pipe.vae.eval().requires_grad_(False)
    return pipe


CASES: dict[str, tuple[Callable[[], Any], int]] = {
    "demo": (lambda: load_pipeline(weights.DEMO_FOLDER, CPU), 64),
    "epsilon, tiny": (lambda: architecture("epsilon", False), 64),
    "v_prediction, tiny": (lambda: architecture("v_prediction", False), 64),
    "epsilon, full": (lambda: architecture("epsilon", True), 64),
    "v_prediction, full": (lambda: architecture("v_prediction", True), 64),
}


@pytest.fixture(scope="module")
def case() -> Callable[[str], Case]:
    made: dict[str, Case] = {}

    def one(name: str) -> Case:
        if name not in made:
            made[name] = Case(*CASES[name])
        return made[name]

    return one


@pytest.fixture(autouse=True)
def _the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers' pipeline draws a sample of the full encoder's distribution; we take its mean."""
    monkeypatch.setattr(
        DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode()
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("strength", STRENGTHS)
def test_forty_sources_with_words_are_painted_as_diffusers_does(
    name: str, strength: float, case: Callable[[str], Case]
) -> None:
    one = case(name)
    for first in range(1, PAIRS + 1, 8):
        shots = [one.shot(number, strength) for number in range(first, first + 8)]
        assert one.refusal(shots) is None


def test_each_shot_of_a_batch_has_its_own_source_strength_and_words(
    case: Callable[[str], Case],
) -> None:
    strengths = (0.1, 0.35, 0.999, 0.6, 0.003, 1.0, 0.8, 0.25)
    for name in CASES:
        one = case(name)
        shots = [one.shot(number, strengths[number - 1]) for number in range(1, 9)]
        assert one.refusal(shots) is None


# -- mistakes that the comparison must catch -------------------------------------------------------


def batch(one: Case) -> list[Shot]:
    return [one.shot(number, strength) for number, strength in ((1, 0.25), (2, 0.5), (3, 0.75))]


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_sigma_is_caught(
    name: str, case: Callable[[str], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    euler = StepTable._euler
    assert case(name).refusal(batch(case(name))) is None
    monkeypatch.setattr(
        StepTable,
        "_euler",
        lambda self, time, sigma, following: euler(self, time, sigma * 1.02, following),
    )
    assert case(name).refusal(batch(case(name))) is not None


@pytest.mark.parametrize("name", CASES)
def test_a_row_of_the_table_that_stays_behind_is_caught(
    name: str, case: Callable[[str], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = TimeTable.row
    monkeypatch.setattr(TimeTable, "row", lambda self, timestep: row(self, 249))
    assert case(name).refusal(batch(case(name))[:1]) is None
    assert case(name).refusal(batch(case(name))[1:]) is not None


@pytest.mark.parametrize("name", CASES)
def test_two_sources_of_a_batch_swapped_are_caught(
    name: str, case: Callable[[str], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = case(name).ours.pictures
    assert step is not None
    forward = step.encode.forward
    monkeypatch.setattr(step.encode, "forward", lambda source: forward(source.flip(0)))
    assert case(name).refusal(batch(case(name))) is not None


def test_the_colours_of_a_source_in_another_order_are_caught(
    case: Callable[[str], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = case("demo")
    assert one.ours.pictures is not None
    forward = one.ours.pictures.encode.forward
    monkeypatch.setattr(
        one.ours.pictures.encode, "forward", lambda source: forward(source.flip(-1))
    )
    assert one.refusal(batch(one)) is not None


# -- the parts -------------------------------------------------------------------------------------


def test_every_timesteps_sigma_is_diffusers_own() -> None:
    scheduler = pipeline().scheduler
    table = StepTable(pipeline().scheduler)
    for timestep in (0, 1, 249, 499, 500, 749, 998, 999):
        scheduler.set_timesteps(timesteps=[timestep])
        steps = table.from_picture(1, (timestep + 1) / 1000)
        assert steps.start.noise == pytest.approx(float(scheduler.sigmas[0]), rel=1e-6)


@pytest.fixture(scope="module")
def model_with_sources() -> Model:
    return Model(pipeline(), CPU, resolve=resolve)


@pytest.mark.parametrize("name", ["epsilon, tiny", "epsilon, full"])
def test_encoded_pictures_have_the_strides_that_code_is_compiled_for(
    name: str, case: Callable[[str], Case]
) -> None:
    step = case(name).ours.pictures
    assert step is not None
    with torch.inference_mode():
        latents = step.encode(torch.zeros(2, 64, 64, 3, dtype=torch.uint8))
    assert latents.is_contiguous()
    assert latents.dtype == torch.float32


def test_at_the_folded_timestep_nothing_is_added(model_with_sources: Model) -> None:
    sampler = model_with_sources.sampler
    for strength, adds in ((1.0, False), (0.5, True)):
        values = sampler.values(sampler.table.from_picture(1, strength))
        assert bool(values["time_1"].tensor.any()) == adds


@torch.inference_mode()
def test_noise_alone_is_painted_to_the_bit_as_by_a_model_without_sources(
    model: Model, model_with_sources: Model
) -> None:
    """Also by the traced graph, and with pictures in between."""
    for number in range(traced.CALLS + 3):
        one = Shot.single(f"{number} stars", number)
        inputs = {n: v.tensor[None] for n, v in model_with_sources.values(one).items()}
        assert inputs.keys() == {"noise", "prompt_embedding"}
        latents = model_with_sources.denoise_alone(**inputs)
        assert torch.equal(latents, model.denoise_alone(**inputs))
        given = model_with_sources.values(shot(number + 1, 0.5))
        model_with_sources.denoise_alone(**{n: v.tensor[None] for n, v in given.items()})


@torch.inference_mode()
def test_the_traced_step_gives_each_picture_and_strength_its_own_latents_to_the_bit(
    model_with_sources: Model,
) -> None:
    sampling = model_with_sources.sampler.sampling
    for number in range(1, 2 * traced.CALLS):
        values = model_with_sources.values(shot(number, number / 20))
        inputs = {name: value.tensor[None] for name, value in values.items()}
        assert torch.equal(model_with_sources.denoise_alone(**inputs), sampling(**inputs))
    graph = model_with_sources._alone[Kind(source=True)]
    assert isinstance(graph, traced.TracedGraph)
    assert graph._traced is not None


@torch.inference_mode()
def test_without_diffusers_names_the_unet_takes_the_timesteps_and_paints_the_same(
    model_with_sources: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = replace(private_names.TIME_EMBEDDING, names={"diffusers.Renamed": None})
    monkeypatch.setattr(private_names, "TIME_EMBEDDING", gone)
    other = Model(pipeline(), CPU, resolve=resolve)
    for number, strength in ((1, 0.3), (2, 0.9)):
        latents = [
            one.denoise_alone(
                **{n: v.tensor[None] for n, v in one.values(shot(number, strength)).items()}
            )
            for one in (other, model_with_sources)
        ]
        assert parity.relative_error(*latents) < 1e-5
    shapes = {one.name: one.shape for one in other.inputs(64, 64, Kind(source=True))}
    assert shapes["time_1"] == (1,)


@torch.inference_mode()
def test_an_encoder_whose_convolutions_are_not_fused_gives_the_same_latents(
    model_with_sources: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = replace(private_names.TINY_ENCODER, names={"diffusers.Renamed": None})
    monkeypatch.setattr(private_names, "TINY_ENCODER", gone)
    other = Model(pipeline(), CPU, resolve=resolve)
    pictures = torch.stack([torch.from_numpy(picture(number, 64, 48)) for number in (1, 2)])
    found = []
    for one in (other, model_with_sources):
        assert one.pictures is not None
        found.append(one.pictures.encode(pictures))
        names = {type(layer).__name__ for layer in one.pictures.encode.encoder.modules()}
        assert ("FusedBlock" in names) == (one is model_with_sources)
    assert found[0].shape == (2, 4, 6, 8)
    assert parity.relative_error(*found) < 1e-5


def test_without_the_encoders_names_shots_with_a_source_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = replace(private_names.ENCODERS, names={"diffusers.Renamed": None})
    monkeypatch.setattr(private_names, "ENCODERS", gone)
    other = Model(pipeline(), CPU, resolve=resolve)
    assert not other.capabilities.sources
    assert other.sources.startswith("off: ")
    with pytest.raises(ShotError, match="starts from noise only"):
        other.values(shot(1, 0.5))


def test_a_picture_that_is_gone_or_of_another_size_is_one_sentence() -> None:
    other = Model(pipeline(), CPU, resolve=no_pictures)
    with pytest.raises(ShotError, match=r"^The picture is gone\.$"):
        other.values(shot(1, 0.5))
    small = Model(pipeline(), CPU, resolve=lambda *_: picture(1, 32, 64))
    with pytest.raises(ShotError, match="32x64 pixels instead of 64x64"):
        small.values(shot(1, 0.5))


def test_a_picture_is_fetched_at_the_size_that_is_painted(
    model_with_sources: Model,
) -> None:
    base = {"base_width": 64, "base_height": 64, "width": 128, "height": 128}
    for enlarging, side in (("pixels", 64), ("noise", 128)):
        one = shot(1, 0.5, enlarging=enlarging, **base)
        assert model_with_sources.values(one)["source"].tensor.shape == (side, side, 3)


def test_a_read_only_picture_is_painted_without_a_warning(
    model_with_sources: Model, recwarn: pytest.WarningsRecorder
) -> None:
    def read_only(source: Source, width: int, height: int) -> NDArray[np.uint8]:
        pixels = resolve(source, width, height)
        pixels.flags.writeable = False
        return pixels

    other = Model(pipeline(), CPU, resolve=read_only)
    values = [one.values(shot(1, 0.5))["source"].tensor for one in (other, model_with_sources)]
    assert torch.equal(*values)
    assert not [one for one in recwarn if "writable" in str(one.message)]


def test_the_prediction_is_recovered_from_what_the_step_made_of_it() -> None:
    for prediction in ("epsilon", "v_prediction"):
        model = Model(architecture(prediction, False), CPU, resolve=resolve)
        sampler = model.sampler
        values = sampler.step_values(sampler.table.from_picture(1, 0.4), 0)
        sample, said = torch.randn(2, 1, 4, 8, 8)
        inputs = {"scales": values["scales"].tensor[None], "sample": sample}
        _, skip, out = (float(one) for one in inputs["scales"][0])
        found = predicted(skip * sample + out * said, inputs)
        assert parity.relative_error(found, said) < 1e-5
