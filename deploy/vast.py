"""Rent a GPU at Vast.ai, use it, give it back: the commands of deploy/vast.sh."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from rental import lifecycle, record  # noqa: E402
from rental.arguments import GPU_PRICE, parser  # noqa: E402
from rental.batch import run_batch  # noqa: E402
from rental.client import ApiError, Client, find_key, say  # noqa: E402
from rental.endpoints import public_page  # noqa: E402
from rental.offers import Offer, Query, table  # noqa: E402
from rental.preparation import prepare  # noqa: E402
from rental.remote_tasks import cards, confirmed, logs, print_status, remote, script  # noqa: E402


def found(client: Client, options: argparse.Namespace) -> tuple[Query, list[Offer]]:
    """What the options ask for, and the offers that are suitable."""
    most = options.gpus * GPU_PRICE if options.max_price is None else options.max_price
    query = Query(options.gpu, most, options.hours, options.disk, options.fps, options.gpus)
    return query, lifecycle.search(client, query)


def search(client: Client, options: argparse.Namespace) -> int:
    query, offers = found(client, options)
    print(table(offers[:15], query))
    if not offers:
        say(f"no suitable offer: {query.advice}")
    return 0 if offers else 1


def up(client: Client, options: argparse.Namespace) -> int:
    """0: it runs and is guarded. 3: it runs, and nothing guards it."""
    there = lifecycle.current(client)
    if there is not None:
        raise lifecycle.Failed(
            f"Instance {there['id']} is rented already ({there.get('actual_status')}): use it, or "
            "give it back with deploy/vast.sh down. Only one is rented at a time."
        )
    with record.renting() as alone:
        if not alone:
            raise lifecycle.Failed(
                "Another deploy/vast.sh is renting an instance: wait until it has finished."
            )
        return rent(client, options)


def rent(client: Client, options: argparse.Namespace) -> int:
    query, offers = found(client, options)
    if not offers:
        raise lifecycle.Failed(f"No suitable offer: {query.advice}")
    best, hours = offers[0], options.hours
    if options.max_cost is not None:
        hours = min(hours, options.max_cost / best.price)
    say(
        f"the cheapest: {best.gpu} in {best.place}, ${best.price:.3f} an hour; "
        f"at most {hours:.2g} hours, ${best.price * hours:.2f}."
    )
    if options.dry_run:
        return 0
    if not options.yes and not confirmed("Rent it?"):
        return 1
    instance = lifecycle.rent(client, query, offers, options.image)
    return prepare(client, instance, hours, options.idle_minutes)


def down(client: Client, options: argparse.Namespace) -> int:
    there = lifecycle.current(client)
    for _ in range(2):  # what was rented a moment ago may not be listed yet
        if there is None and record.read().get("label"):
            time.sleep(lifecycle.POLL_S)
            there = lifecycle.current(client)
    if there is None:
        record.forget()
        say(
            "nothing is rented from here. deploy/vast.sh list shows all of the account's instances."
        )
        return 0
    lifecycle.give_back(client, int(there["id"]))
    record.forget()
    return 0


def status(client: Client, options: argparse.Namespace) -> int:
    there = lifecycle.current(client)
    if there is None:
        print("nothing is rented from here")
        return 1
    print_status(there)
    return 0


def link(client: Client, options: argparse.Namespace) -> int:
    there = lifecycle.current(client)
    page = public_page(there) if there else None
    if page is None:
        raise lifecycle.Failed("No rented instance has a public mapping of its port 8000.")
    address = page.removeprefix("http://").rstrip("/")
    only = [] if options.channel is None else [options.channel]
    return remote("host", "share", address, "own" if options.own else "watch", *only)


def show_list(client: Client, options: argparse.Namespace) -> int:
    rows = lifecycle.retried(client.instances, "list")
    own = record.read().get("id")
    for row in rows:
        print(
            f"{row['id']:>10} {row.get('actual_status') or '?':<10} {cards(row):<16} "
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
        if lifecycle.current(client) is None and (code := up(client, options)) not in (0, 3):
            return code
        code = script("start_stream_server.sh")
        return code or script("tunnel_to_stream.sh", "--open")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if record.read():
            if confirmed("Give the instance back now?", without_terminal=True):
                down(client, options)
            else:
                lifecycle.announce()


def batch(client: Client, options: argparse.Namespace) -> int:
    """Gives the instance back whatever happens, but never before the results are fetched."""
    if not options.prompts.is_file():
        raise lifecycle.Failed(f"There is no file {options.prompts}.")
    if options.out.exists() and not options.out.is_dir():
        raise lifecycle.Failed(f"{options.out} is a file; give a folder for the pictures.")
    earlier = record.read().get("label")
    try:
        if (code := up(client, options)) not in (0, 3) or options.dry_run:
            return code
    except BaseException:
        if record.read().get("label") not in (None, earlier):  # nothing has been painted there
            down(client, options)
        raise
    number = record.read().get("id")
    try:
        code, fetched = run_batch(options.prompts, options.out)
    except BaseException as error:  # whatever it is, the user must be told what is still rented
        say(f"interrupted ({type(error).__name__}: {error}).")
        code, fetched = 4, False
    if not fetched:
        lifecycle.announce(
            "THE RESULTS WERE NOT FETCHED",
            "deploy/remote.sh fetch gets them, deploy/vast.sh down gives it back.",
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
    "ssh": lambda client, options: remote("shell"),
    "logs": lambda client, options: logs(),
}


def main(argv: Sequence[str]) -> int:
    """Says at every end what is still rented and billed."""
    options = parser().parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    code = 1
    try:
        code = COMMANDS[options.command](Client(find_key()), options)
    except (ApiError, lifecycle.Failed) as error:
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
            lifecycle.announce()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
