"""One rental's life: rented, waited for, given back. Never two at once, never one forgotten.

What counts is what Vast.ai shows afterwards, never what a call said of itself.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from typing import Any

from rental import record
from rental.client import ApiError, Client, KeyRefused, NoAnswer, Refused, say
from rental.offers import Offer, Wish, fitting
from rental.reach import Way

CONSOLE = "https://cloud.vast.ai/instances/"
POLL_S = float(os.environ.get("VAST_POLL_S", "5"))
START_LIMIT_S = float(os.environ.get("VAST_START_LIMIT_S", "900"))
DESTROY_TRIES = int(os.environ.get("VAST_DESTROY_TRIES", "8"))
NEVER_RUNS = {"exited", "unknown", "offline", "stopped"}


class Failed(Exception):
    """The user has to do something; one sentence."""


def ways(instance: dict[str, Any]) -> list[Way]:
    """Where it can be reached: the direct port, then Vast's proxy. Never a mix of both."""
    found = []
    mapped = (instance.get("ports") or {}).get("22/tcp") or []
    public = str(instance.get("public_ipaddr") or "").strip()
    if public and mapped:
        found.append(Way("direct", public, int(mapped[0]["HostPort"])))
    if instance.get("ssh_host") and instance.get("ssh_port"):
        jupyter = "jupyter" in str(instance.get("image_runtype") or "")
        found.append(Way("proxy", instance["ssh_host"], int(instance["ssh_port"]) + jupyter))
    return found


def public_page(instance: dict[str, Any], port: int = 8000) -> str | None:
    """The address of the stream for others, who also need a link with a token."""
    mapped = (instance.get("ports") or {}).get(f"{port}/tcp") or []
    public = str(instance.get("public_ipaddr") or "").strip()
    return f"http://{public}:{mapped[0]['HostPort']}/" if public and mapped else None


def patiently(call: Callable[[], Any], what: str, tries: int = 5) -> Any:
    """The call's answer; a missing one is asked for again with growing pauses."""
    for attempt in range(tries):
        try:
            return call()
        except NoAnswer as error:
            if attempt == tries - 1:
                raise
            say(f"{what}: {error} Trying again.")
            time.sleep(POLL_S * (attempt + 1))
    raise AssertionError


def present(client: Client) -> dict[str, Any] | None:
    """The instance that this laptop rented and did not give back, as Vast.ai shows it now."""
    rental = record.read()
    if rental.get("id"):
        found: dict[str, Any] | None = patiently(lambda: client.show(int(rental["id"])), "status")
        if found is None:
            record.forget()
        return found
    if rental.get("label"):
        return _find_by_label(client, str(rental["label"]))
    return None


def _find_by_label(client: Client, label: str) -> dict[str, Any] | None:
    """What a create whose reply was lost has rented; extra ones are destroyed."""
    rows = patiently(client.instances, "list")
    mine = [row for row in rows if row.get("label") == label]
    for extra in mine[1:]:
        say(f"instance {extra['id']} was rented twice over: destroying it.")
        give_back(client, int(extra["id"]))
    return mine[0] if mine else None


def rent(client: Client, wish: Wish, offers: list[Offer], image: str) -> dict[str, Any]:
    """An instance that runs and has an address. Tries the next offer when a host fails."""
    avoided: set[int] = set()
    while offers:
        offer = offers.pop(0)
        if offer.machine_id in avoided:
            continue
        say(f"renting offer {offer.id} ({offer.gpu}, {offer.place}) for ${offer.price:.3f} an hour")
        label = f"turbostream-{secrets.token_hex(6)}"
        record.write(label=label, price=offer.price, asked_at=time.time(), id=None, host=None)
        try:
            instance_id = _create(client, offer, image, wish, label)
            if instance_id is not None:
                record.write(id=instance_id)
                instance = _until_running(client, instance_id)
                if instance is not None:
                    return instance
                give_back(client, instance_id)
        except BaseException:
            if record.read():
                say(f"what may be rented has the label {label}: deploy/vast.sh down gives it back.")
            raise
        if record.read().get("label") != label:
            raise Failed("The rental was given back from elsewhere meanwhile; nothing is rented.")
        avoided.add(offer.machine_id)
        if not offers:
            offers = fitting(
                patiently(lambda: client.search(wish.query, wish.disk_gb), "search"), wish, avoided
            )
    record.forget()
    raise Failed("No offer is left that fits: raise --max-price, or try another --gpu.")


def _create(client: Client, offer: Offer, image: str, wish: Wish, label: str) -> int | None:
    """The instance's id; None where it is certain that nothing was rented.

    Also where Vast.ai said no: the client repeats a request whose reply was lost, and the second
    one is told that the offer is gone, since the first one has rented it.
    """
    looks = 1
    try:
        return client.create(offer.id, image, wish.disk_gb, label, 8000)
    except KeyRefused:
        record.forget()  # it is certain that nothing was rented
        raise
    except ApiError as error:
        refused = error if isinstance(error, Refused) else None
        looks = 3 if isinstance(error, NoAnswer) else 1
        say(f"{error} Looking whether it was rented all the same.")
    for _ in range(looks):
        time.sleep(POLL_S)
        found = _find_by_label(client, label)
        if found is not None:
            say(f"it was: instance {found['id']}.")
            return int(found["id"])
    if refused is not None:  # and would be with the next offer
        record.forget()
        raise Failed(f"{refused} Nothing is rented.")
    say("it was not; taking the next offer.")
    return None


def _until_running(client: Client, instance_id: int) -> dict[str, Any] | None:
    """The instance once it runs and has an address; None where it never will."""
    begun, said = time.monotonic(), ""
    while time.monotonic() - begun < START_LIMIT_S:
        instance = patiently(lambda: client.show(instance_id), "status")
        if instance is None:
            say(f"instance {instance_id} is gone.")
            return None
        state = str(instance.get("actual_status") or "being made")
        shown = f"{state} {str(instance.get('status_msg') or '').strip()[:100]}".strip()
        if shown != said:
            say(f"instance {instance_id}, after {time.monotonic() - begun:.0f} s: {shown}")
            said = shown
        if state == "running" and ways(instance):
            return dict(instance)
        if state in NEVER_RUNS:
            say(f"a host that is {state} will not start it: giving it back.")
            return None
        time.sleep(POLL_S)
    say(f"it did not start within {START_LIMIT_S / 60:.0f} minutes: giving it back.")
    return None


def give_back(client: Client, instance_id: int) -> None:
    """Destroy, and read until it is gone; Failed, loudly, where it is not."""
    why = "it is still there"
    for attempt in range(DESTROY_TRIES):
        try:
            client.destroy(instance_id)
        except KeyRefused:
            raise Failed(_shout(instance_id, "the API key may not do it")) from None
        except ApiError as error:
            why = str(error)
        for _ in range(2):
            try:
                if client.show(instance_id) is None:
                    say(f"instance {instance_id} is gone; nothing is billed for it any more.")
                    if record.read().get("id") in (instance_id, None):
                        try:
                            record.write(id=None, host=None)
                        except OSError:  # the disk is full; no record says the same
                            record.forget()
                    return
            except ApiError as error:
                why = str(error)
            time.sleep(min(POLL_S, 3))
        say(f"instance {instance_id} is still there (attempt {attempt + 1}): {why}")
        time.sleep(POLL_S)
    raise Failed(_shout(instance_id, why))


_announced = False


def announce(why: str = "", command: str = "deploy/vast.sh down gives it back.") -> None:
    """Say what is rented and goes on costing; once, and nothing where nothing is rented."""
    global _announced
    rental = record.read()
    if _announced or not (rental.get("id") or rental.get("label")):
        return
    _announced = True
    name = rental.get("id") or f"with the label {rental['label']}"
    why = f"{why}, so instance" if why else "INSTANCE"
    say(f"{why} {name} IS KEPT AND BILLED: {command}")


def _shout(instance_id: int, why: str) -> str:
    global _announced
    _announced = True
    return (
        f"INSTANCE {instance_id} IS NOT DESTROYED AND IS BILLED ON ({why}): "
        f"destroy it by hand at {CONSOLE}"
    )
