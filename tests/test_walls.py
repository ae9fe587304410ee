"""Who may import whom, read from the code."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "turbostream"
TORCH = {"torch", "diffusers", "transformers", "accelerate", "xformers", "huggingface_hub"}
WEB = {"flask", "flask_cors", "gevent", "werkzeug"}
FLASK = WEB - {"gevent"}
VIDEO = {"av"}
RAY = {"ray"}
INSIDE = "turbostream"

# room -> what it may not import
FORBIDDEN = {
    "stream": TORCH
    | WEB
    | VIDEO
    | {f"{INSIDE}.{room}" for room in ("control", "engine", "sinks", "sources", "web")},
    "control": TORCH
    | WEB
    | VIDEO
    | {f"{INSIDE}.{room}" for room in ("engine", "sinks", "sources", "web")},
    "sinks": TORCH | WEB | {f"{INSIDE}.{room}" for room in ("control", "engine", "sources", "web")},
    "sources": TORCH | WEB | {f"{INSIDE}.{room}" for room in ("control", "engine", "sinks", "web")},
    "engine": WEB | VIDEO | {f"{INSIDE}.{room}" for room in ("control", "sinks", "sources", "web")},
    "web": TORCH
    | VIDEO
    | {f"{INSIDE}.{room}" for room in ("control", "engine", "sinks", "sources")},
    "web/http": FLASK | {f"{INSIDE}.stream"},
    "web/live": FLASK,
    "web/routes": {"gevent"},
}

# room -> its sub-room -> what else of the room that may import
SUB_ROOMS: dict[str, dict[str, set[str]]] = {
    "engine": {
        "weights": set(),
        "device": set(),
        "rewrite": set(),
        "model": {"weights", "device", "rewrite"},
        "cuda": {"model", "rewrite"},
        "cluster": {"weights", "open_engine"},
    },
    "web": {
        "http": set(),
        "live": set(),
        "auth": set(),
        "routes": {"live", "auth", "context", "rental"},
    },
}
PAIRS = [(room, sub_room) for room, rules in SUB_ROOMS.items() for sub_room in rules]

# modules of web/routes that the routes share; no route imports another
SHARED = {
    "channel_metrics",
    "errors",
    "request_body",
    "requested",
    "scene_answer",
    "unread_words",
}


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def breaches(file: Path, forbidden: set[str]) -> list[str]:
    return [
        name
        for name in imports(file)
        if any(name == wall or name.startswith(wall + ".") for wall in forbidden)
    ]


def arrows_back(file: Path, room: str, sub_room: str) -> list[str]:
    """What `file` imports of its own room that its sub-room may not import."""
    whole = f"{INSIDE}.{room}"
    allowed = {f"{whole}.{other}" for other in {sub_room, *SUB_ROOMS[room][sub_room]}}
    return [
        name
        for name in imports(file)
        if (name == whole or name.startswith(whole + "."))
        and not any(name == one or name.startswith(one + ".") for one in allowed)
    ]


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_imports_nothing_from_behind_its_walls(room: str) -> None:
    files = list((PACKAGE / room).rglob("*.py"))
    assert files
    assert {str(file): found for file in files if (found := breaches(file, FORBIDDEN[room]))} == {}


@pytest.mark.parametrize(("room", "sub_room"), PAIRS)
def test_no_arrow_points_back_inside_a_room(room: str, sub_room: str) -> None:
    files = list((PACKAGE / room / sub_room).rglob("*.py"))
    assert files
    found = {str(file): back for file in files if (back := arrows_back(file, room, sub_room))}
    assert found == {}


@pytest.mark.parametrize("room", SUB_ROOMS)
def test_every_folder_of_a_room_has_rules(room: str) -> None:
    folders = {path.parent.name for path in (PACKAGE / room).glob("*/__init__.py")}
    assert folders == set(SUB_ROOMS[room])


def test_no_route_imports_another() -> None:
    routes = f"{INSIDE}.web.routes"
    for file in (PACKAGE / "web" / "routes").glob("*.py"):
        for name in imports(file):
            if name.startswith(routes + "."):
                assert name.removeprefix(routes + ".").partition(".")[0] in SHARED, (file, name)


def test_no_modules_import_each_other_in_a_circle() -> None:
    modules = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for file in PACKAGE.rglob("*.py")
    }
    arrows = {
        module: {
            other
            for name in imports(file)
            for other in (name, name.rpartition(".")[0])
            if other in modules and other != module and not module.startswith(other + ".")
        }
        for module, file in modules.items()
    }
    while leaves := [module for module, others in arrows.items() if not others & set(arrows)]:
        for module in leaves:
            del arrows[module]
    assert not arrows, f"these import each other in a circle: {sorted(arrows)}"


def test_settings_and_the_entry_point_import_nothing_slow_at_the_top() -> None:
    for file in (*PACKAGE.glob("setting*.py"), *(PACKAGE / "engine" / "weights").glob("*.py")):
        top = [
            node
            for node in ast.parse(file.read_text()).body
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        names = {name for node in top for name in _names(node)}
        assert not {name.partition(".")[0] for name in names} & (TORCH | WEB), file


@pytest.mark.parametrize("room", ["sinks", "sources"])
def test_pyav_is_imported_when_there_is_a_video_to_write_or_read(room: str) -> None:
    code = f"import sys, turbostream.{room}; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_only_the_cluster_engine_imports_ray_and_only_when_it_is_opened() -> None:
    cluster = PACKAGE / "engine" / "cluster"
    for file in (ROOT / "realtime_stream.py", ROOT / "process_batch.py", *PACKAGE.rglob("*.py")):
        assert file.is_relative_to(cluster) or not breaches(file, RAY), file
    code = "import sys, turbostream.engine.cluster.cluster_engine; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_sources_read_videos_in_a_process_of_their_own() -> None:
    files = set((PACKAGE / "sources").glob("*.py"))
    assert {file.name for file in files if breaches(file, VIDEO)} == {"video_process.py"}


def _names(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names]


def test_only_one_place_reads_the_environment_and_the_command_line() -> None:
    readers = [
        str(file.relative_to(ROOT))
        for file in PACKAGE.rglob("*.py")
        if "os.environ" in file.read_text() or "sys.argv" in file.read_text()
    ]
    assert readers == []


def test_a_breach_would_be_seen(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text(
        "def late():\n    from turbostream.engine import model\n    import torch.cuda\n"
    )
    assert len(breaches(file, FORBIDDEN["web"])) == 2
    file.write_text("from turbostream.web.http.server import Server\n")
    assert len(arrows_back(file, "web", "live")) == 1
    assert arrows_back(file, "web", "http") == []


def test_the_script_that_wires_all_of_it_stays_short():
    assert len((ROOT / "realtime_stream.py").read_text(encoding="utf-8").splitlines()) < 120
