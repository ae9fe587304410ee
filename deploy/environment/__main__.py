"""`python deploy/environment COMMAND OPTIONS`: setup.sh's part that needs a Python.

    is-ready   exit status 0 if nothing is left to do; prints what the environment is for
    list       print this machine's pins
    plan       say what would be done
    install    create the environment, install the packages, check them

Python 3.11's standard library only: nothing is installed yet. setup.sh has found the interpreter,
the card and the disk space.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from build import Build
from lock import Lock
from messages import SetupError, say
from progress import Runner
from verification import check_imports, render_frame
from virtual_environment import VirtualEnvironment


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="deploy/environment", allow_abbrev=False)
    parser.add_argument("command", choices=("is-ready", "list", "plan", "install"))
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--venv", type=Path, required=True)
    parser.add_argument("--base", default="", help="the interpreter to create it with")
    parser.add_argument("--want", choices=("cpu", "gpu", ""), default="")
    parser.add_argument("--driver", default="")
    parser.add_argument("--capability", default="")
    parser.add_argument("--free-gb", type=int, required=True)
    for flag in ("--cluster", "--dev", "--check", "--force", "--verbose"):
        parser.add_argument(flag, action="store_true")
    return parser.parse_args(arguments)


def extras(options: argparse.Namespace) -> list[str]:
    """What is installed beside the pins of requirements.txt."""
    return [step for step in ("cluster", "dev") if getattr(options, step)]


def is_ready(environment: VirtualEnvironment, options: argparse.Namespace) -> bool:
    steps = ["base", "check", *extras(options)]
    return not options.check and environment.is_usable and all(map(environment.is_done, steps))


def plan(environment: VirtualEnvironment, build: Build, options: argparse.Namespace) -> None:
    if is_ready(environment, options):
        say(f"nothing to do: {options.venv} is in place ({build}).")
        return
    say(f"would install into {options.venv} ({build}), with {options.base}:")
    lines = environment.listed()
    for step in extras(options):
        lines += environment.listed_extra(step)
    for line in lines:
        if not line.startswith("#"):
            say(f"  {line}")


def install(environment: VirtualEnvironment, build: Build, options: argparse.Namespace) -> None:
    lock = Lock(options.venv)
    try:
        lock.take()
        runner = Runner(lock.folder, options.verbose, lock.add)
        tag = environment.choose_torch()
        environment.create(options.base, runner)
        environment.install(tag, runner)
        for step in extras(options):
            environment.install_extra(step, runner)
        if options.check or not environment.is_done("check"):
            check_imports(environment.python, bool(build.driver))
            if render_frame(environment.python, options.root):
                environment.mark("check")
    finally:
        lock.release()
    say(f"done ({build}).")


def end_by_signal() -> None:
    """SIGHUP, SIGINT and SIGTERM end the setup in order, once."""

    def end(number: int, _: object) -> None:
        for other in caught:
            signal.signal(other, signal.SIG_IGN)
        sys.exit(128 + number)

    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    caught = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    for number in caught:
        signal.signal(number, end)


def main(arguments: list[str]) -> int:
    options = parsed(arguments)
    build = Build.choose(options.want, options.driver, options.capability)
    environment = VirtualEnvironment(
        options.venv, options.root, build, options.free_gb, options.force
    )
    end_by_signal()
    try:
        if options.command == "is-ready":
            if not is_ready(environment, options):
                return 1
            print(build)
        elif options.command == "list":
            print("\n".join(environment.listed()))
        elif options.command == "plan":
            plan(environment, build, options)
        else:
            install(environment, build, options)
    except SetupError as error:
        say(str(error))
        return 1
    except OSError as error:
        say(f"{error.filename or options.venv} cannot be used: {error.strerror}.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
