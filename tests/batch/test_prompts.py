"""The file of prompts: what is read, and what is refused before anything is painted."""

from __future__ import annotations

import pytest

from tests.batch.program import Program

BOM = b"\xef\xbb\xbf"


def test_without_arguments_prompts_txt_is_painted_into_pictures(program: Program) -> None:
    program.write("a\nb\n")
    assert program._main([]) == 0
    assert program.prompts() == {"000001.jpg": "a", "000002.jpg": "b"}


def test_the_value_of_a_setting_is_not_taken_for_the_file_of_prompts(program: Program) -> None:
    program.write("a\nb\n")
    assert program._main(["--jpeg-quality", "90"]) == 0, program.said
    assert program.prompts() == {"000001.jpg": "a", "000002.jpg": "b"}


def test_without_a_file_one_sentence_says_what_to_write(program: Program) -> None:
    assert program._main([]) == 2
    program("prompts.txt", "pictures")
    assert program.said == (
        "There is no file prompts.txt: write one prompt per line into it, or name another "
        "file (process_batch.py FILE FOLDER).\n"
    )
    assert not program.out.exists()


@pytest.mark.parametrize("first", [b'{"prompt": "a", "seed": 7}', b"a"])
def test_a_byte_order_mark_is_no_part_of_the_first_line(program: Program, first: bytes) -> None:
    program.write(BOM + first + b"\r\nb\r\n")
    assert program() == 0, program.said
    assert program.painted == ["a", "b"]


def test_only_line_feeds_separate_prompts(program: Program) -> None:
    program.write("one\u2028prompt\nanother\u2029one\n")
    assert program() == 0, program.said
    assert program.painted == ["another\u2029one", "one\u2028prompt"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"prompt": "a", "width": 0}', "width must be a multiple of 8 from 64 to 2048."),
        ('{"prompt": "a", "height": 100}', "height must be a multiple of 8 from 64 to 2048."),
        ('{"prompt": "a", "seed": 1, "seed": 2}', "the field 'seed' is given twice."),
        ('{"prompt": "a", "prompt": "b"}', "the field 'prompt' is given twice."),
        ('{"prompt": ' + "[" * 100_000, "the JSON is nested too deeply."),
        ('{"a":' * 100_000, "the JSON is nested too deeply."),
        (
            '{"prompt": "a", "seed": ' + "9" * 5000 + "}",
            "the number 99999999999999999999... is too large.",
        ),
        ('{"prompt": "a", "seed": NaN}', "seed must be a whole number"),
        ('{"prompt": "a"', "not valid JSON (Expecting ',' delimiter, column 15)."),
        ("a\x85b", "The prompt holds control characters"),
    ],
)
def test_a_bad_entry_is_named_with_its_line_before_anything_is_painted(
    program: Program, text: str, sentence: str
) -> None:
    program.write(f"fine\n\n{text}\nalso fine\n")
    assert program() == 2
    assert len(program.said.splitlines()) == 1
    assert program.said.startswith("prompts.txt, line 3: ")
    assert sentence in program.said
    assert "Nothing was painted" in program.said
    assert program.engines == []
    assert not program.out.exists()


def test_every_bad_line_is_named_up_to_a_few(program: Program) -> None:
    bad = '{"prompt": ""}\n'
    program.write(f"a\n{bad}b\n{bad}")
    assert program() == 2
    assert "line 2: The prompt is empty" in program.said
    assert "line 4: The prompt is empty" in program.said
    program.write("a\n" + bad * 9)
    assert program() == 2
    assert "line 6" in program.said
    assert "line 7" not in program.said
    assert "And 4 more bad lines" in program.said


def test_a_null_is_as_good_as_no_field(program: Program) -> None:
    program.write('{"prompt": "a", "seed": null, "width": null}\n')
    assert program() == 0, program.said
    assert program.manifest()[0]["shot"].noise == ((0, 1.0),)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a\nb\xff\n", "prompts.txt, line 2: this is not UTF-8; save it as UTF-8."),
        ("a\n".encode("utf-16"), "prompts.txt, line 1: this is not UTF-8; save it as UTF-8."),
        (b"\n# nothing\n", "prompts.txt contains no prompt; write one per line."),
    ],
)
def test_a_file_that_is_no_list_of_prompts_is_one_sentence(
    program: Program, content: bytes, sentence: str
) -> None:
    program.write(content)
    assert program() == 2
    assert program.said == f"{sentence}\n"


def test_a_folder_in_place_of_the_file_is_one_sentence(program: Program) -> None:
    (program.folder / "prompts.txt").mkdir()
    assert program() == 2
    assert program.said == "prompts.txt cannot be read (Is a directory).\n"
