"""deploy/vast.sh up --gpus: one host with several cards, and what is started there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.laptop import Laptop
from tests.deploy.renting import Vast
from tests.deploy.standin import StandIn

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def setup_there(laptop: Laptop) -> Iterator[Path]:
    """Replaces setup.sh by one that fails; the file has its arguments and the server's ENGINE."""
    script, told = laptop.scripts / "setup.sh", laptop.home / "told"
    kept = script.read_text()
    script.write_text(f'printf "%s\\n" "$*" "${{ENGINE-unset}}" >{told}\nexit 1\n')
    yield told
    script.write_text(kept)


def started(laptop: Laptop, setup_there: Path, *arguments: str) -> tuple[str, str]:
    """The arguments of setup.sh there, and the server's ENGINE."""
    done = laptop.run(
        *("start_stream_server.sh", *arguments),
        SSH_HOST=None,
        SSH_PORT=None,
        INSTANCE_PYTHON=None,
    )
    assert "The environment is incomplete" in done.stderr
    options, engine = setup_there.read_text().splitlines()
    return options, engine


def test_a_host_with_four_cards_is_rented_and_paints_on_all_of_them(
    vast: Vast, stand_in: StandIn, laptop: Laptop, setup_there: Path
) -> None:
    stand_in.offers += [stand_in.offer(4, 1.50, gpus=4), stand_in.offer(5, 1.20, gpus=2)]
    done = vast("up", "--yes", "--gpus", "4")
    assert done.returncode == 0, done.stderr
    assert "the cheapest: 4x RTX 4090 in Norway, NO, $1.502 an hour" in done.stderr
    assert [one.offer["id"] for one in stand_in.instances.values()] == [1004]
    assert json.loads((laptop.home / ".turbostream/rental.json").read_text())["gpus"] == 4
    status = vast("status").stdout
    assert "instance  7000 (4x RTX 4090): running" in status
    assert "h at $1.500, traffic not counted" in status
    assert " 4x RTX 4090 " in vast("list").stdout

    options, engine = started(laptop, setup_there)
    assert options.endswith(" --cluster")
    assert engine == "ray"
    options, engine = started(laptop, setup_there, "--set", "ENGINE=local")
    assert "--cluster" not in options
    assert engine == "local"
    assert vast("down").returncode == 0


def test_a_host_with_one_card_is_rented_and_started_as_before(
    vast: Vast, stand_in: StandIn, laptop: Laptop, setup_there: Path
) -> None:
    stand_in.offers.append(stand_in.offer(4, 0.20, gpus=4))
    assert vast("up", "--yes").returncode == 0
    assert [one.offer["id"] for one in stand_in.instances.values()] == [1001]
    options, engine = started(laptop, setup_there)
    assert "--cluster" not in options
    assert engine == "unset"
    assert vast("down").returncode == 0


def test_the_limit_of_the_price_is_for_the_whole_host(vast: Vast, stand_in: StandIn) -> None:
    stand_in.offers += [stand_in.offer(4, 1.50, gpus=4), stand_in.offer(5, 3.25, gpus=4)]
    found = vast("search", "--gpus", "4").stdout
    assert "1004" in found  # the default is 0.80 for each of the four
    assert "1005" not in found
    done = vast("up", "--yes", "--gpus", "4", "--max-price", "1.5")
    assert done.returncode == 1
    assert "No suitable offer: raise --max-price, or try another --gpu or fewer than 4 --gpus." in (
        done.stderr
    )
    assert stand_in.instances == {}


def test_the_limit_of_the_cost_shortens_the_rental_by_the_price_of_the_whole_host(
    vast: Vast, stand_in: StandIn
) -> None:
    stand_in.offers.append(stand_in.offer(4, 1.50, gpus=4))
    done = vast("up", "--dry-run", "--gpus", "4", "--max-cost", "0.751")
    assert "$1.502 an hour; at most 0.5 hours, $0.75." in done.stderr


@pytest.mark.parametrize("count", ["0", "-1", "two", "64", "1.5", "", "²", "9" * 5000])
def test_a_wrong_number_of_cards_is_one_sentence(vast: Vast, stand_in: StandIn, count: str) -> None:
    done = vast("up", "--yes", "--gpus", count)
    assert done.returncode == 2
    [sentence] = done.stderr.splitlines()
    assert "--gpus: a host has 1 to 16 GPUs, so give such a number" in sentence
    assert stand_in.requests == []
