"""The commands and options of deploy/vast.sh."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import NoReturn

IMAGE = "vastai/pytorch:2.6.0-cuda-12.4.1-ipv2"
MOST_GPUS = 16
GPU_PRICE = 0.80  # the default of --max-price, for each GPU


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line in one sentence, without the list of all options."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"[vast] {message} ({self.prog} --help explains it)\n")


def _gpus(text: str) -> int:
    if not (re.fullmatch("[0-9]{1,2}", text) and 1 <= int(text) <= MOST_GPUS):
        raise argparse.ArgumentTypeError(
            f"a host has 1 to {MOST_GPUS} GPUs, so give such a number, not '{text[:20]}'"
        )
    return int(text)


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="deploy/vast.sh", description="Rent a GPU at Vast.ai, use it, give it back.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, help: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=help, description=help, parents=list(parents))

    query = argparse.ArgumentParser(add_help=False)
    fps = float(os.environ.get("TARGET_FPS") or 30)
    for name, kind, default, help in (
        ("--gpu", str, "RTX_4090", "as Vast.ai names it"),
        ("--hours", float, 3.0, "the guard gives the instance back after this time"),
        ("--fps", float, fps, "frames a second, for the price of the traffic; or TARGET_FPS"),
        ("--disk", int, 35, "gigabytes"),
    ):
        help = f"{help} (default %(default)s)"
        query.add_argument(name, type=kind, default=default, metavar="X", help=help)
    query.add_argument(
        "--max-price",
        type=float,
        metavar="X",
        help="dollars an hour at most for the whole host, disk and traffic included (default "
        f"{GPU_PRICE:.2f} for each GPU)",
    )
    query.set_defaults(gpus=1)
    cards = argparse.ArgumentParser(add_help=False)
    cards.add_argument(
        "--gpus",
        type=_gpus,
        default=1,
        metavar="N",
        help="rent one host with so many GPUs, which paint together (default %(default)s)",
    )
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

    add("search", "The cheapest suitable offers, with the real price of an hour.", query, cards)
    add("up", "Rent one, wait until it runs, arm its guard, store its address.", query, cards, rent)
    add(
        "play",
        "up, start and tunnel in one; Ctrl-C asks whether to give the instance back.",
        query,
        cards,
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
    link.add_argument("--channel", metavar="NAME", help="with which they reach this channel only")
    add("down", "Give the instance back, and check that it is gone.")
    add("list", "All instances that this account rents.")
    return top
