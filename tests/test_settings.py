"""Settings: one table, one sentence for what is wrong, and no torch on the way."""

from __future__ import annotations

import ast
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

import realtime_stream
from turbostream.settings import ROWS, SettingError, Settings, describe, load

ROOT = Path(__file__).resolve().parent.parent
DEFAULTS: dict[str, object] = {
    "TARGET_FPS": realtime_stream.TARGET_FPS,
    "INITIAL_PROMPT": realtime_stream.INITIAL_PROMPT,
    "MODEL_ID": realtime_stream.MODEL_ID,
    "SERVER_PORT": realtime_stream.SERVER_PORT,
}


def settings(*argv: str, **environ: str) -> Settings:
    return load(DEFAULTS, argv, environ)[0]


def test_the_guides_four_settings_come_from_the_top_of_the_script() -> None:
    script = ast.parse((ROOT / "realtime_stream.py").read_text())
    assigned = [
        node.targets[0].id
        for node in script.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    ]
    assert assigned[:4] == ["TARGET_FPS", "INITIAL_PROMPT", "MODEL_ID", "SERVER_PORT"]
    found = settings()
    assert (found.target_fps, found.server_port) == (DEFAULTS["TARGET_FPS"], 8000)
    for name in DEFAULTS:
        assert ROWS[name].default is not str, name


@pytest.mark.parametrize("name", ["LOOPBACK_OWNER", "TRUST_FORWARDED", "KEEP_SCENE", "XFORMERS"])
def test_yes_and_no_are_booleans_in_every_usual_spelling(name: str) -> None:
    for wanted, spellings in ((True, "yes true on 1 YES True"), (False, "no false off 0 No OFF")):
        for text in spellings.split():
            option = "--" + name.lower().replace("_", "-")
            for found in (settings(option, text), settings(**{name: text})):
                assert getattr(found, name.lower()) is wanted
                assert found.as_text()[name] == ("yes" if wanted else "no")


def test_an_address_of_a_broadcast_is_neither_shown_nor_quoted_with_its_key() -> None:
    found = settings(PUSH_URL="rtmp://a.example/live/KEY")
    assert found.push_url == "rtmp://a.example/live/KEY"
    assert found.as_text()["PUSH_URL"] == "rtmp://a.example/live/***"
    assert settings().as_text()["PUSH_URL"] == "none"
    with pytest.raises(SettingError) as refused:
        settings(PUSH_URL="http://a.example/live/KEY")
    assert "PUSH_URL must be 'none' or rtmp://" in str(refused.value)
    assert "KEY" not in str(refused.value).replace("HOST/APP/KEY", "")


def test_every_value_is_shown_as_text_that_gives_the_same_value_again() -> None:
    changed = settings(
        "--keep-scene=0",
        "--xformers=on",
        "--width=512",
        "--cors-origins=HTTP://A",
        "--embed-origins=http://B:1,https://c",
    )
    for found in (settings(), changed):
        shown = found.as_text()
        assert all(type(text) is str for text in shown.values())
        again = load(DEFAULTS, [], shown)[0]
        # STATE_DIR's ~ is expanded where it is given, and not in the default.
        assert dataclasses.replace(again, state_dir=found.state_dir) == found
        assert again.state_folder == found.state_folder


def test_auto_is_none_and_defaults_of_yes_and_no_are_booleans() -> None:
    found = settings("--xformers", "AUTO")
    assert (found.xformers, found.width) == (None, None)
    assert (found.loopback_owner, found.trust_forwarded, found.keep_scene) == (True, False, True)


def test_a_setting_edited_in_the_script_counts() -> None:
    found, _ = load({**DEFAULTS, "TARGET_FPS": 12, "SERVER_PORT": 9000}, [], {})
    assert (found.target_fps, found.server_port) == (12, 9000)


def test_the_command_line_beats_the_environment_which_beats_the_default() -> None:
    assert settings().jpeg_quality == 85
    assert settings(JPEG_QUALITY="50").jpeg_quality == 50
    assert settings("--jpeg-quality", "40", JPEG_QUALITY="50").jpeg_quality == 40
    assert settings(JPEG_QUALITY="").jpeg_quality == 85


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TARGET_FPS", "fast"),
        ("TARGET_FPS", "nan"),
        ("TARGET_FPS", "0"),
        ("SERVER_PORT", "70000"),
        ("SERVER_PORT", "80.5"),
        ("INITIAL_PROMPT", " "),
        ("WIDTH", "100"),
        ("WIDTH", "8"),
        ("HEIGHT", "wide"),
        ("JPEG_QUALITY", "100"),
        ("SEED", "-1"),
        ("DEVICE", "tpu"),
        ("MAX_VIEWERS", "0"),
        ("SERVER_HOST", "two words"),
        ("STATE_DIR", __file__),
        ("KEEP_SCENE", "maybe"),
        ("LOOPBACK_OWNER", "auto"),
        ("TRUST_FORWARDED", "2"),
        ("XFORMERS", "never"),
        ("EMBED_ORIGINS", "*"),
        ("EMBED_ORIGINS", "null"),
        ("EMBED_ORIGINS", "file://"),
        ("EMBED_ORIGINS", "localhost:3000"),
        ("EMBED_ORIGINS", "http://localhost:3000/page.html"),
        ("EMBED_ORIGINS", "http://a,"),
        ("EMBED_ORIGINS", "http://a; script-src *"),
    ],
)
def test_a_wrong_value_is_answered_in_one_sentence_that_names_it(name: str, value: str) -> None:
    option = "--" + name.lower().replace("_", "-")
    for argv, environ in (([f"{option}={value}"], {}), ([], {name: value})):
        with pytest.raises(SettingError, match=rf"^{name} must be [^\n]*\.$"):
            load(DEFAULTS, argv, environ)


@pytest.mark.parametrize("argv", [["--colour", "red"], ["--target-fps"], ["stray"], ["--target"]])
def test_an_unknown_option_is_answered_in_one_sentence(argv: list[str]) -> None:
    with pytest.raises(SettingError, match=r"^[A-Z][^\n]*--help[^\n]*\.$"):
        load(DEFAULTS, argv, {})


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "realtime_stream.py", *argv],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def test_help_lists_every_setting_with_its_default() -> None:
    shown = run("--help")
    assert shown.returncode == 0
    text = " ".join(shown.stdout.split())
    for name in ROWS:
        default, _, help_text = describe(name, DEFAULTS)
        assert "--" + name.lower().replace("_", "-") in text
        assert " ".join(help_text.split()) in text
        assert f"default {default}" in text
    assert "To start fresh, delete scene-PORT.json" in text


def test_a_wrong_setting_ends_the_program_with_2_before_torch_is_imported() -> None:
    code = (
        "import sys, realtime_stream\n"
        "status = realtime_stream.main(['--target-fps', 'fast'], {})\n"
        "assert not {'torch', 'diffusers', 'flask', 'gevent'} & set(sys.modules)\n"
        "sys.exit(status)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr == (
        "TARGET_FPS must be a number from 0.1 to 1000, not 'fast' (given by the command line).\n"
    )


def test_a_half_copied_model_folder_is_named_with_what_is_missing(tmp_path: Path) -> None:
    index = {"_class_name": "StableDiffusionPipeline", "text_encoder": ["t", "CLIPTextModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    ended = run("--model-id", str(tmp_path))
    assert ended.returncode == 2
    assert "unet/config.json is missing" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_model_id_that_cannot_be_meant_is_refused() -> None:
    ended = run("--model-id", "./nowhere")
    assert ended.returncode == 2
    assert "neither a folder nor a hub id" in ended.stderr


def test_the_readmes_table_is_the_settings_table() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in ROWS:
        default, _, help_text = describe(name, DEFAULTS)
        assert f"| `{name}` | `{default}` | {help_text} |" in readme
