"""The lifecycle of a rental: rented, waited for, destroyed. Never two at once, and none forgotten.

Only what Vast.ai shows afterwards counts, never the reply to a call.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any

from rental import record
from rental.client import ApiError, Client, KeyRefused, NoAnswer, Refused, say
from rental.endpoints import endpoints_of
from rental.offers import Offer, Query, suitable

CONSOLE = "https://cloud.vast.ai/instances/"
POLL_S = float(os.environ.get("VAST_POLL_S", "5"))
START_LIMIT_S = float(os.environ.get("VAST_START_LIMIT_S", "900"))
DESTROY_TRIES = int(os.environ.get("VAST_DESTROY_TRIES", "8"))
NEVER_RUNS = {"exited", "unknown", "offline", "stopped"}


class Failed(Exception):
    """The user has to do something; one sentence."""


def retried(call: Callable[[], Any], what: str, tries: int = 5) -> Any:
    """The call's answer; one that was lost is asked for again, with growing pauses."""
    for attempt in range(tries):
        try:
            return call()
        except NoAnswer as error:
            if attempt == tries - 1:
                raise
            say(f"{what}: {error} Trying again.")
            time.sleep(POLL_S * (attempt + 1))
    raise AssertionError


def search(client: Client, query: Query, not_on: Iterable[int] = ()) -> list[Offer]:
    """The suitable offers, cheapest first, without the machines `not_on`."""
    offers = retried(lambda: client.search(query.text, query.disk_gb), "search")
    return suitable(offers, query, not_on)


def current(client: Client) -> dict[str, Any] | None:
    """The instance that this laptop rented and did not give back, as Vast.ai shows it now."""
    rental = record.read()
    if rental.get("id"):
        found: dict[str, Any] | None = retried(lambda: client.show(int(rental["id"])), "status")
        if found is None:
            record.forget()
        return found
    if rental.get("label"):
        return _find_by_label(client, str(rental["label"]))
    return None


def _find_by_label(client: Client, label: str) -> dict[str, Any] | None:
    """What a create whose reply was lost has rented; duplicates are destroyed."""
    rows = retried(client.instances, "list")
    mine = [row for row in rows if row.get("label") == label]
    for extra in mine[1:]:
        say(f"instance {extra['id']} is a duplicate: destroying it.")
        give_back(client, int(extra["id"]))
    return mine[0] if mine else None


def rent(client: Client, query: Query, offers: list[Offer], image: str) -> dict[str, Any]:
    """An instance that runs and has an address; the next offer is tried when a host fails."""
    avoided: set[int] = set()
    while offers:
        offer = offers.pop(0)
        if offer.machine_id in avoided:
            continue
        say(f"renting offer {offer.id} ({offer.gpu}, {offer.place}) for ${offer.price:.3f} an hour")
        label = f"turbostream-{secrets.token_hex(6)}"
        asked = {"price": offer.price, "gpus": query.gpus, "asked_at": time.time()}
        record.write(label=label, **asked, id=None, host=None)
        try:
            instance_id = _create(client, offer, image, query, label)
            if instance_id is not None:
                record.write(id=instance_id)
                instance = _until_running(client, instance_id)
                if instance is not None:
                    return instance
                give_back(client, instance_id)
        except BaseException:
            if record.read():
                say(
                    f"an instance labelled {label} may be rented: deploy/vast.sh down gives it "
                    "back."
                )
            raise
        if record.read().get("label") != label:
            raise Failed(
                "The rental was given back by another command meanwhile; nothing is rented."
            )
        avoided.add(offer.machine_id)
        if not offers:
            offers = search(client, query, avoided)
    record.forget()
    raise Failed(f"No suitable offer is left: {query.advice}")


def _create(client: Client, offer: Offer, image: str, query: Query, label: str) -> int | None:
    """The instance's id; None if it is certain that nothing was rented.

    A refusal is checked too: the client repeats a request whose reply was lost, and the second one
    is refused because the first one has taken the offer.
    """
    looks = 1
    try:
        return client.create(offer.id, image, query.disk_gb, label, 8000)
    except KeyRefused:
        record.forget()  # it is certain that nothing was rented
        raise
    except ApiError as error:
        refused = error if isinstance(error, Refused) else None
        looks = 3 if isinstance(error, NoAnswer) else 1
        say(f"{error} Checking whether it was rented nevertheless.")
    for _ in range(looks):
        time.sleep(POLL_S)
        found = _find_by_label(client, label)
        if found is not None:
            say(f"it was: instance {found['id']}.")
            return int(found["id"])
    if refused is not None:  # so would be the next offer
        record.forget()
        raise Failed(f"{refused} Nothing is rented.")
    say("it was not: trying the next offer.")
    return None


def _until_running(client: Client, instance_id: int) -> dict[str, Any] | None:
    """The instance once it runs and has an address; None if it never will."""
    begun, said = time.monotonic(), ""
    while time.monotonic() - begun < START_LIMIT_S:
        instance = retried(lambda: client.show(instance_id), "status")
        if instance is None:
            say(f"instance {instance_id} is gone.")
            return None
        state = str(instance.get("actual_status") or "being created")
        shown = f"{state} {str(instance.get('status_msg') or '').strip()[:100]}".strip()
        if shown != said:
            say(f"instance {instance_id}, after {time.monotonic() - begun:.0f} s: {shown}")
            said = shown
        if state == "running" and endpoints_of(instance):
            return dict(instance)
        if state in NEVER_RUNS:
            say(f"a host in state {state} will not start it: giving it back.")
            return None
        time.sleep(POLL_S)
    say(f"it did not start within {START_LIMIT_S / 60:.0f} minutes: giving it back.")
    return None


def give_back(client: Client, instance_id: int) -> None:
    """Destroy it and check that it is gone; raises Failed if it is not."""
    why = "it is still there"
    for attempt in range(DESTROY_TRIES):
        try:
            client.destroy(instance_id)
        except KeyRefused:
            raise Failed(
                _not_destroyed(instance_id, "the API key has no permission for it")
            ) from None
        except ApiError as error:
            why = str(error)
        for _ in range(2):
            try:
                if client.show(instance_id) is None:
                    say(f"instance {instance_id} is gone and no longer billed.")
                    if record.read().get("id") in (instance_id, None):
                        try:
                            record.write(id=None, host=None)
                        except OSError:  # the disk is full; a missing record means the same
                            record.forget()
                    return
            except ApiError as error:
                why = str(error)
            time.sleep(min(POLL_S, 3))
        say(f"instance {instance_id} is still there (attempt {attempt + 1}): {why}")
        time.sleep(POLL_S)
    raise Failed(_not_destroyed(instance_id, why))


_announced = False


def announce(why: str = "", command: str = "deploy/vast.sh down gives it back.") -> None:
    """Say, once, what is still rented and billed, if anything."""
    global _announced
    rental = record.read()
    if _announced or not (rental.get("id") or rental.get("label")):
        return
    _announced = True
    name = rental.get("id") or f"with the label {rental['label']}"
    why = f"{why}, so instance" if why else "INSTANCE"
    say(f"{why} {name} IS KEPT AND BILLED: {command}")


def _not_destroyed(instance_id: int, why: str) -> str:
    global _announced
    _announced = True
    return (
        f"INSTANCE {instance_id} IS NOT DESTROYED AND IS STILL BILLED ({why}): "
        f"destroy it by hand at {CONSOLE}"
    )
