"""The commands and options of deploy/vast.sh."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

IMAGE = "vastai/pytorch:2.6.0-cuda-12.4.1-ipv2"


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="deploy/vast.sh", description="Rent a GPU at Vast.ai, use it, give it back."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, help: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=help, description=help, parents=list(parents))

    query = argparse.ArgumentParser(add_help=False)
    fps = float(os.environ.get("TARGET_FPS") or 30)
    for name, kind, default, help in (
        ("--gpu", str, "RTX_4090", "as Vast.ai names it"),
        ("--max-price", float, 0.80, "dollars an hour at most, disk and traffic included"),
        ("--hours", float, 3.0, "the guard gives the instance back after this time"),
        ("--fps", float, fps, "frames a second, for the price of the traffic; or TARGET_FPS"),
        ("--disk", int, 35, "gigabytes"),
    ):
        help = f"{help} (default %(default)s)"
        query.add_argument(name, type=kind, default=default, metavar="X", help=help)
    rent = argparse.ArgumentParser(add_help=False)
    more: tuple[tuple[str, type, object, str], ...] = (
        ("--image", str, IMAGE, "the image that it runs"),
        ("--idle-minutes", float, 30.0, "the guard gives it back after this time without a viewer"),
        ("--max-cost", float, None, "a hard limit in dollars, which shortens --hours"),
    )
    for name, parse, preset, help in more:
        help = f"{help} (default %(default)s)"
        rent.add_argument(name, type=parse, default=preset, metavar="X", help=help)
    rent.add_argument("--yes", action="store_true", help="rent without asking")
    rent.add_argument(
        "--dry-run", action="store_true", help="say what it would rent, and rent nothing"
    )

    add("search", "The cheapest suitable offers, with the real price of an hour.", query)
    add("up", "Rent one, wait until it runs, arm its guard, store its address.", query, rent)
    add(
        "play",
        "up, start and tunnel in one; Ctrl-C asks whether to give the instance back.",
        query,
        rent,
    )
    batch = add(
        "batch",
        "Rent, paint a file of prompts, fetch the pictures, give the instance back.",
        query,
        rent,
    )
    batch.add_argument("prompts", type=Path, help="one prompt a line, or JSON lines")
    batch.add_argument("out", type=Path, help="the folder for the pictures")
    add("status", "What is running, what it has cost, and when it will end.")
    add("ssh", "A terminal on the instance.")
    add("logs", "The server's log and the state of the GPU.")
    link = add("link", "A link with which others can watch, at the public address.")
    link.add_argument(
        "--own", action="store_true", help="with which they can control everything, not only watch"
    )
    add("down", "Give the instance back, and check that it is gone.")
    add("list", "All instances that this account rents.")
    return top
