"""The folder: small, complete, and no code that knows the answers."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from tests.demo_model.conftest import COLOURS

MOST_MB = 25


def test_the_folder_is_no_larger_than_25_megabytes(folder: Path) -> None:
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert size <= MOST_MB * 1e6


def test_no_code_that_runs_at_inference_lists_colour_names(folder: Path) -> None:
    for file in folder.parent.rglob("*.py"):
        nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        constants = {n.value for n in nodes if isinstance(n, ast.Constant)}
        assert len(constants & set(COLOURS)) < 3, file


def test_the_words_that_the_page_offers_are_those_that_the_renderer_taught(folder: Path) -> None:
    from training import vocabulary

    shown = json.loads((folder / "words.json").read_text(encoding="utf-8"))
    assert shown == vocabulary.as_json()


def test_every_word_of_every_example_is_a_known_one(folder: Path) -> None:
    shown = json.loads((folder / "words.json").read_text(encoding="utf-8"))
    from training import vocabulary

    known = set(vocabulary.known())
    assert len(shown["examples"]) == 8
    for example in shown["examples"]:
        assert not set(example.replace(",", " ").split()) - known


def test_every_known_word_is_one_token_of_the_shipped_tokenizer(folder: Path) -> None:
    from transformers import CLIPTokenizer

    from training import vocabulary

    tokenizer = CLIPTokenizer.from_pretrained(str(folder / "tokenizer"))
    many = [
        word for word in vocabulary.known() if word.isalnum() and len(tokenizer.tokenize(word)) > 1
    ]
    assert many == []
