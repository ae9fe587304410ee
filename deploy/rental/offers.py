"""Which offers are suitable, and what an hour of streaming really costs on each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

FRAME_KB = 30.0  # a 512 x 512 JPEG of quality 85
HOURS_A_MONTH = 30 * 24
OLDEST_CUDA = 12.6  # the oldest that the pinned torch is built for; setup.sh chooses the build


@dataclass(frozen=True)
class Query:
    """What to search for."""

    gpu: str = "RTX_4090"
    max_price: float = 0.80  # dollars an hour for the whole host, all in
    hours: float = 3.0
    disk_gb: int = 35
    fps: float = 30.0
    gpus: int = 1  # of one host, all rented

    @property
    def text(self) -> str:
        """In Vast.ai's query language."""
        days = self.hours / 24
        return (
            f"gpu_name={self.gpu.replace(' ', '_')} num_gpus={self.gpus} reliability>0.95 "
            f"cuda_vers>={OLDEST_CUDA} direct_port_count>=2 disk_space>={self.disk_gb} "
            f"inet_down>=300 inet_up>=100 duration>={days:.3f} rentable=True rented=False"
        )

    @property
    def advice(self) -> str:
        """What to do if no offer is suitable."""
        if self.gpus == 1:
            return "raise --max-price, or try another --gpu."
        return f"raise --max-price, or try another --gpu or fewer than {self.gpus} --gpus."

    @property
    def gb_an_hour(self) -> float:
        return self.fps * FRAME_KB * 3600 / 1e6


@dataclass(frozen=True)
class Offer:
    """One offer with its price, in dollars an hour."""

    id: int
    machine_id: int
    gpu: str
    place: str
    reliability: float
    gpu_price: float
    disk_price: float
    traffic_price: float

    @property
    def price(self) -> float:
        return self.gpu_price + self.disk_price + self.traffic_price


def priced(raw: dict[str, Any], query: Query) -> Offer:
    """`dph_total` holds all GPUs of the offer and the disk that the search asked for."""
    disk = float(raw.get("storage_cost") or 0.0) * query.disk_gb / HOURS_A_MONTH
    return Offer(
        id=int(raw["id"]),
        machine_id=int(raw.get("machine_id") or 0),
        gpu=f"{raw.get('num_gpus', 1)}x {raw.get('gpu_name', '?')}",
        place=str(raw.get("geolocation") or "?"),
        reliability=float(raw.get("reliability2") or raw.get("reliability") or 0.0),
        gpu_price=max(0.0, float(raw["dph_total"]) - disk),
        disk_price=disk,
        traffic_price=float(raw.get("inet_up_cost") or 0.0) * query.gb_an_hour,
    )


def suitable(
    offers: Iterable[dict[str, Any]], query: Query, not_on: Iterable[int] = ()
) -> list[Offer]:
    """The offers within the price, cheapest hour first, without the machines `not_on`."""
    avoided = set(not_on)
    found = [priced(o, query) for o in offers if o.get("num_gpus", 1) == query.gpus]
    found = [o for o in found if o.price <= query.max_price and o.machine_id not in avoided]
    return sorted(found, key=lambda offer: offer.price)


def table(offers: list[Offer], query: Query) -> str:
    lines = [
        f"Dollars an hour; traffic for one viewer at {query.fps:g} frames/s of {FRAME_KB:g} KB "
        f"({query.gb_an_hour:.1f} GB).",
        f"{'offer':>10}  {'gpu':<16} {'place':<18} {'reliable':>8}"
        f" {'gpu':>7} {'disk':>7} {'traffic':>8} {'all':>7}",
    ]
    for o in offers:
        lines.append(
            f"{o.id:>10}  {o.gpu:<16.16} {o.place:<18.18} {o.reliability:>8.3f}"
            f" {o.gpu_price:>7.3f} {o.disk_price:>7.3f} {o.traffic_price:>8.3f} {o.price:>7.3f}"
        )
    return "\n".join(lines)
