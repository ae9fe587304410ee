"""Rent a GPU at Vast.ai, use it, give it back: the commands of deploy/vast.sh."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from rental import errands, life, record  # noqa: E402
from rental.client import ApiError, Client, find_key, say  # noqa: E402
from rental.offers import Wish, fitting, table  # noqa: E402

IMAGE = "vastai/pytorch:2.6.0-cuda-12.4.1-ipv2"


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="deploy/vast.sh", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, help: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=help, description=help, parents=list(parents))

    wish = argparse.ArgumentParser(add_help=False)
    fps = float(os.environ.get("TARGET_FPS") or 30)
    for name, kind, default, help in (
        ("--gpu", str, "RTX_4090", "as Vast.ai names it"),
        ("--max-price", float, 0.80, "the most dollars for an hour, disk and traffic included"),
        ("--hours", float, 3.0, "the guard gives it back after so many"),
        ("--fps", float, fps, "frames a second, for the traffic's price; TARGET_FPS says it too"),
        ("--disk", int, 35, "gigabytes"),
    ):
        help = f"{help} (default %(default)s)"
        wish.add_argument(name, type=kind, default=default, metavar="X", help=help)
    rent = argparse.ArgumentParser(add_help=False)
    more: tuple[tuple[str, type, object, str], ...] = (
        ("--image", str, IMAGE, "what it runs"),
        ("--idle-minutes", float, 30.0, "the guard gives it back after so many without a viewer"),
        ("--max-cost", float, None, "a hard limit in dollars: shortens --hours"),
    )
    for name, parse, preset, help in more:
        help = f"{help} (default %(default)s)"
        rent.add_argument(name, type=parse, default=preset, metavar="X", help=help)
    rent.add_argument("--yes", action="store_true", help="rent without asking")
    rent.add_argument("--dry-run", action="store_true", help="say what it would rent, and stop")

    add("search", "The cheapest offers that fit, with what an hour really costs.", wish)
    add("up", "Rent one, wait until it runs, arm its guard, write down its address.", wish, rent)
    add("play", "All in one: up, start, tunnel; Ctrl-C asks whether to give it back.", wish, rent)
    batch = add(
        "batch", "Rent, paint a file of prompts, fetch the pictures, give it back.", wish, rent
    )
    batch.add_argument("prompts", type=Path, help="a prompt a line, or JSON lines")
    batch.add_argument("out", type=Path, help="the folder for the pictures")
    add("status", "What runs, what it has cost, and when it will end.")
    add("ssh", "A terminal on the instance.")
    add("logs", "The server's log and the graphics card.")
    link = add("link", "The link with which others may watch, at the public address.")
    link.add_argument("--own", action="store_true", help="may do everything, not only watch")
    add("down", "Give it back, and read until it is gone.")
    add("list", "Everything that this account rents.")
    return top


def wish_of(options: argparse.Namespace) -> Wish:
    return Wish(options.gpu, options.max_price, options.hours, options.disk, options.fps)


def search(client: Client, options: argparse.Namespace) -> int:
    wish = wish_of(options)
    offers = fitting(
        life.patiently(lambda: client.search(wish.query, wish.disk_gb), "search"), wish
    )
    print(table(offers[:15], wish))
    if not offers:
        say("no offer fits: raise --max-price, or try another --gpu.")
    return 0 if offers else 1


def up(client: Client, options: argparse.Namespace) -> int:
    """0: it runs and is guarded. 3: it runs, and nothing guards it."""
    there = life.present(client)
    if there is not None:
        raise life.Failed(
            f"Instance {there['id']} is rented already ({there.get('actual_status')}): use it, or "
            "give it back with deploy/vast.sh down. There are never two."
        )
    with record.renting() as alone:
        if not alone:
            raise life.Failed(
                "Another deploy/vast.sh is renting at this moment: wait until it has ended."
            )
        return rent(client, options)


def rent(client: Client, options: argparse.Namespace) -> int:
    wish = wish_of(options)
    offers = fitting(
        life.patiently(lambda: client.search(wish.query, wish.disk_gb), "search"), wish
    )
    if not offers:
        raise life.Failed("No offer fits: raise --max-price, or try another --gpu.")
    best, hours = offers[0], options.hours
    if options.max_cost is not None:
        hours = min(hours, options.max_cost / best.price)
    say(
        f"the cheapest: {best.gpu} in {best.place}, ${best.price:.3f} an hour; "
        f"at most {hours:.2g} hours, ${best.price * hours:.2f}."
    )
    if options.dry_run:
        return 0
    if not options.yes and not errands.agreed("Rent it?"):
        return 1
    instance = life.rent(client, wish, offers, options.image)
    return errands.furnish(client, instance, hours, options.idle_minutes)


def down(client: Client, options: argparse.Namespace) -> int:
    there = life.present(client)
    for _ in range(2):  # what was asked for a moment ago may not be listed yet
        if there is None and record.read().get("label"):
            time.sleep(life.POLL_S)
            there = life.present(client)
    if there is None:
        record.forget()
        say("nothing is rented from here. deploy/vast.sh list shows the whole account.")
        return 0
    life.give_back(client, int(there["id"]))
    record.forget()
    return 0


def status(client: Client, options: argparse.Namespace) -> int:
    there = life.present(client)
    if there is None:
        print("nothing is rented from here")
        return 1
    errands.print_status(there)
    return 0


def link(client: Client, options: argparse.Namespace) -> int:
    there = life.present(client)
    page = life.public_page(there) if there else None
    if page is None:
        raise life.Failed("No rented instance has its port 8000 mapped to the outside.")
    address = page.removeprefix("http://").rstrip("/")
    return errands.remote("host", "share", address, "own" if options.own else "watch")


def show_list(client: Client, options: argparse.Namespace) -> int:
    rows = life.patiently(client.instances, "list")
    own = record.read().get("id")
    for row in rows:
        print(
            f"{row['id']:>10} {row.get('actual_status') or '?':<10} {row.get('gpu_name', '?'):<16} "
            f"${float(row.get('dph_total') or 0):.3f}/h {row.get('label') or ''}"
            f"{'  (this one)' if row['id'] == own else ''}"
        )
    if not rows:
        print("nothing is rented")
    return 0


def play(client: Client, options: argparse.Namespace) -> int:
    """Ctrl-C, and every other end, asks whether to give the instance back."""
    if options.dry_run:
        return up(client, options)
    try:
        if life.present(client) is None and (code := up(client, options)) not in (0, 3):
            return code
        code = errands.script("start_stream_server.sh")
        return code or errands.script("tunnel_to_stream.sh", "--open")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if record.read():
            if errands.agreed("Give the instance back now?", unasked=True):
                down(client, options)
            else:
                life.announce()


def batch(client: Client, options: argparse.Namespace) -> int:
    """Gives the instance back whatever happens, but never before the results are home."""
    if not options.prompts.is_file():
        raise life.Failed(f"There is no file {options.prompts}.")
    if options.out.exists() and not options.out.is_dir():
        raise life.Failed(f"{options.out} is a file; give a folder for the pictures.")
    earlier = record.read().get("label")
    try:
        if (code := up(client, options)) not in (0, 3) or options.dry_run:
            return code
    except BaseException:
        if record.read().get("label") not in (None, earlier):  # nothing is painted there yet
            down(client, options)
        raise
    number = record.read().get("id")
    try:
        code, home = errands.batch(options.prompts, options.out)
    except BaseException as error:  # whatever it is: the instance must not stay rented unannounced
        say(f"interrupted ({type(error).__name__}: {error}).")
        code, home = 4, False
    if not home:
        life.announce(
            "THE RESULTS ARE NOT HOME",
            "deploy/remote.sh fetch brings them, deploy/vast.sh down gives it back.",
        )
        return 4
    down(client, options)
    painted = len(list(options.out.glob("[0-9]*.jpg"))) if options.out.is_dir() else 0
    say(
        f"fetched and destroyed: instance {number} is gone, {options.out} holds {painted} pictures."
    )
    return code


COMMANDS: dict[str, Callable[[Client, argparse.Namespace], int]] = {
    "search": search,
    "up": up,
    "play": play,
    "batch": batch,
    "status": status,
    "link": link,
    "down": down,
    "list": show_list,
    "ssh": lambda client, options: errands.remote("shell"),
    "logs": lambda client, options: errands.logs(),
}


def main(argv: Sequence[str]) -> int:
    """Every end says what is rented and goes on costing."""
    options = parser().parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    code = 1
    try:
        code = COMMANDS[options.command](Client(find_key()), options)
    except (ApiError, life.Failed) as error:
        say(str(error))
    except OSError as error:
        say(f"{error.filename or 'A file'} cannot be used ({error.strerror}).")
    except KeyboardInterrupt:
        say("interrupted.")
        code = 130
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:  # also where this program itself is at fault
        if options.command in ("up", "play", "batch", "down") and code not in (0, 3):
            life.announce()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
