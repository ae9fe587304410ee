"""What of a long prompt the model reads, and who says so."""

from __future__ import annotations

import logging
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from turbostream.engine.cuda.memory_plan import Plan
from turbostream.engine.local_engine import LocalEngine
from turbostream.engine.model.model import Model
from turbostream.engine.model.prompt_encoder import PromptEncoder
from turbostream.engine.weights.token_limit import TokenLimit
from turbostream.stream.engine_api import ReadsWords, dropped_by

LONG = "a red star, " * 20 + "on a blue background"


@pytest.fixture(scope="module")
def limit(model: Model) -> TokenLimit:
    return TokenLimit(model.encode_prompt._tokenizer)


def test_a_prompt_that_fits_to_the_last_token_drops_nothing(limit: TokenLimit) -> None:
    words = ["star"] * (limit.tokens - 2)  # its begin and end are marked by one token each
    assert limit.dropped(" ".join(words)) == ""
    assert limit.dropped(" ".join([*words, "moon"])) == "moon"
    assert limit.dropped(" ".join([*words, "moon", "and", "sun"])) == "moon and sun"


def test_another_process_that_gets_the_limit_says_the_same(limit: TokenLimit) -> None:
    limit.dropped(LONG)  # the cache is not sent along
    sent = pickle.loads(pickle.dumps(limit))
    assert (sent.tokens, sent.dropped(LONG)) == (limit.tokens, limit.dropped(LONG))
    assert sent.dropped(LONG)


def test_a_word_that_is_cut_in_two_is_dropped_from_its_begin(limit: TokenLimit) -> None:
    words = " ".join(["star"] * (limit.tokens - 3))
    assert limit.dropped(f"{words} supercalifragilistic") == "supercalifragilistic"


@pytest.mark.parametrize("kind", ["🐱", "NAÏVE  Café ", "\u00a0x", "漢字"])
def test_what_is_dropped_is_the_end_of_the_prompt_as_it_was_written(
    limit: TokenLimit, kind: str
) -> None:
    prompt = kind * 120
    dropped = limit.dropped(prompt)
    assert dropped
    assert prompt.endswith(dropped)


def test_what_is_dropped_changes_nothing_and_what_stays_does(
    model: Model, limit: TokenLimit
) -> None:
    dropped = limit.dropped(LONG)
    kept = LONG.removesuffix(dropped)
    encoder = PromptEncoder(model.encode_prompt._tokenizer, model.encode_prompt._encoder)
    whole = encoder(LONG).tensor
    assert torch.equal(encoder(f"{kept}moon {dropped}").tensor, whole)
    assert not torch.equal(encoder(f"moon {LONG}").tensor, whole)
    fits = encoder(kept).tensor
    assert not torch.equal(encoder(kept.rpartition(" ")[0].rpartition(" ")[0]).tensor, fits)


@given(st.text(max_size=1000))
def test_the_copy_cuts_where_the_models_own_tokenizer_cuts(
    model: Model, limit: TokenLimit, prompt: str
) -> None:
    ids = model.encode_prompt._tokenizer(prompt).input_ids
    assert bool(limit.dropped(prompt)) == (len(ids) > limit.tokens)
    assert prompt.endswith(limit.dropped(prompt))


def test_the_log_says_once_for_each_prompt_what_is_not_read(
    model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = PromptEncoder(model.encode_prompt._tokenizer, model.encode_prompt._encoder)
    with caplog.at_level(logging.INFO):
        for prompt in ("a red star", LONG, LONG, f"{LONG} again"):
            encoder(prompt)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert f"reads {encoder.limit.tokens} tokens" in said[0]
    assert said[0].endswith("on a blue background")


def test_the_engine_says_it_through_the_seam_also_when_closed(model: Model) -> None:
    engine = LocalEngine(model, 85, "a test", Plan(0, 1))
    assert isinstance(engine, ReadsWords)
    assert dropped_by(engine, LONG).endswith("on a blue background")
    assert dropped_by(None, LONG) == ""
