"""What the words say is what the picture shows, and it is the network's doing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from tests.demo_model.conftest import COLOURS, Paint, colours_seen, noise

PHRASINGS = (
    "{}", "a {} background", "everything is {}, please", "background in {}", "a room painted in {}",
)  # fmt: skip
MISSPELT = {
    "orange": "oragne", "yellow": "yelow", "green": "greeen", "blue": "bluee",
    "purple": "purpel", "pink": "pinkk", "white": "whitte", "black": "blakc", "brown": "bronw",
}  # fmt: skip


def share_right(pictures: torch.Tensor, wanted: list[str]) -> float:
    hits = [seen == want for seen, want in zip(colours_seen(pictures), wanted, strict=True)]
    return sum(hits) / len(hits)


@pytest.mark.parametrize("phrasing", PHRASINGS)
def test_each_of_eleven_colours_becomes_the_ground_in_every_phrasing(
    paint: Paint, phrasing: str
) -> None:
    pictures = paint([phrasing.format(colour) for colour in COLOURS], seed=3)
    assert colours_seen(pictures) == list(COLOURS)


def test_a_colour_with_one_letter_wrong_is_still_that_colour(paint: Paint) -> None:
    pictures = paint([f"a {wrong} background" for wrong in MISSPELT.values()], seed=4)
    assert colours_seen(pictures) == list(MISSPELT)


def test_with_the_unets_weights_shuffled_the_colours_are_chance(pipe: Any, paint: Paint) -> None:
    own = copy.deepcopy(pipe.unet.state_dict())
    generator = torch.Generator().manual_seed(0)
    try:
        with torch.no_grad():
            for weight in pipe.unet.parameters():
                order = torch.randperm(weight.numel(), generator=generator)
                weight.copy_(weight.flatten()[order].view_as(weight))
        pictures = paint(list(COLOURS), seed=3)
    finally:
        pipe.unet.load_state_dict(own)
    assert share_right(pictures.nan_to_num(), list(COLOURS)) <= 3 / 11


def test_with_the_text_encoders_output_zeroed_the_colours_are_chance(
    pipe: Any, paint: Paint
) -> None:
    handle = pipe.text_encoder.register_forward_hook(
        lambda _module, _inputs, output: (torch.zeros_like(output[0]),)
    )
    try:
        pictures = paint(list(COLOURS), seed=3)
    finally:
        handle.remove()
    assert share_right(pictures, list(COLOURS)) <= 3 / 11


def test_unknown_words_change_hardly_anything(paint: Paint) -> None:
    texts = ["a red car on a blue background", "a yellow star at night", "a house in the snow"]
    more = [f"dramatic {text} artstation, 4k" for text in texts]
    same = noise(len(texts), 6)
    change = (paint(texts, noise=same) - paint(more, noise=same)).abs().mean((1, 2, 3)) * 255
    assert change.max() < 4


def test_words_that_it_does_not_know_paint_something_with_hues_of_its_own(paint: Paint) -> None:
    picture = paint(["jazz quartet"], seed=6)[0]
    assert picture.flatten(1).std(1).max() > 0.1


def test_half_way_between_two_prompts_is_a_picture_of_neither_kind_of_noise(
    pipe: Any, paint: Paint
) -> None:
    a, b = (pipe.encode_prompt(t, "cpu", 1, False)[0] for t in ("red", "blue"))
    picture = pipe(
        prompt_embeds=(a + b) / 2, num_inference_steps=1, guidance_scale=0.0, output_type="pt",
        latents=noise(1, 2),
    ).images  # fmt: skip
    neighbours = (picture[..., 1:] - picture[..., :-1]).abs().mean() * 255
    assert neighbours < 8
    assert 0.02 < picture.mean() < 0.98
