"""What a datagram means, and that no datagram does more than be refused."""

from __future__ import annotations

import math
import struct
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.control.sending import bundle, message
from turbostream.control.osc_messages import MOST_DEPTH, OscError, decode, messages
from turbostream.stream.parameters import PARAMETERS
from turbostream.stream.shot import MAX_SEED

NOW = 1_800_000_000.0  # s since 1970


def decoded(datagram: bytes) -> list[tuple[str, object]]:
    return [decode(found) for found in messages(datagram, NOW)]


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("i", 3, 3),
        ("i", -1, -1),
        ("h", MAX_SEED, MAX_SEED),
        ("h", -(2**63), -(2**63)),
        ("f", 0.3, 0.3),
        ("f", 16777217.0, 16777216.0),
        ("f", 3.4028234663852886e38, 3.4028234663852886e38),
        ("f", 1e-45, 1e-45),
        ("d", 0.1, 0.1),
        ("d", math.inf, math.inf),
        ("f", -math.inf, -math.inf),
        ("s", "a blue fish", "a blue fish"),
        ("s", "", ""),
        ("s", "für Élise 🐟", "für Élise 🐟"),
        ("T", True, True),
        ("F", False, False),
        ("N", None, None),
    ],
)
def test_each_type_gives_its_value(kind: str, given: object, value: object) -> None:
    ((name, found),) = decoded(message("/speed", (kind, given)))
    assert (name, type(found)) == ("speed", type(value))
    assert found == pytest.approx(value) if isinstance(value, float) else found == value


def test_a_float_has_the_digits_that_its_sender_gave() -> None:
    for value in (0.1, 0.3, 0.7, 1.5, 0.123456, 120.5, 3.99):
        assert decoded(message("/speed", ("f", value))) == [("speed", value)]


def test_not_a_number_is_decoded_and_left_to_the_check() -> None:
    ((_, found),) = decoded(message("/speed", ("f", math.nan)))
    assert isinstance(found, float)
    assert math.isnan(found)


def test_every_parameter_has_an_address() -> None:
    for name, row in PARAMETERS.items():
        assert decoded(message(row.address, ("i", 1))) == [(name, 1)]


@pytest.mark.parametrize("datagram", [message("/new_seed"), b"/new_seed\0\0\0", b"/new_seed\0"])
def test_a_trigger_needs_no_argument(datagram: bytes) -> None:
    assert decoded(datagram) == [("new_seed", True)]


@pytest.mark.parametrize(
    ("datagram", "sentence"),
    [
        (b"", "not an OSC message"),
        (b"\0\0\0\0", "not an OSC message"),
        (b"speed\0\0\0,f\0\0\0\0\0\0", "not an OSC message"),
        (b"GET / HTTP/1.1\r\n\r\n", r"GET / HTTP/1.1\\r\\n\\r\\n: this is not an OSC message"),
        (b"/", "/: no parameter has this address"),
        (b"/speed", "/speed: an argument is missing"),
        (message("/speed"), "/speed: an argument is missing"),
        (message("/nothing", ("f", 1)), "/nothing: no parameter has this address; GET /osc lists"),
        (message("/speed/x", ("f", 1)), "/speed/x: no parameter has this address"),
        (message("/Speed", ("f", 1)), "no parameter has this address"),
        (message("/" + "a" * 5000, ("f", 1)), "/a+: no parameter has this address"),
        (b"/\xff\x1b]0;x\n\0", r"/\\xff\\x1b\]0;x\\n: patterns are not supported"),
        (message("/sp*", ("f", 1)), r"/sp\*: patterns are not supported"),
        (message("/spee?", ("f", 1)), "patterns are not supported"),
        (message("/weight_[12]", ("f", 1)), "patterns are not supported"),
        (message("/{speed,seed}", ("f", 1)), "patterns are not supported"),
        (message("//speed", ("f", 1)), "no parameter has this address"),
        (message("/speed", ("f", 1), ("f", 2)), "2 arguments were sent; send one"),
        (b"/speed\0\0," + b"f" * 5000 + b"\0\0\0", "5000 arguments were sent; send one"),
        (b"/speed\0\0f\0\0\0\0\0\0\0", "types of the arguments are missing"),
        (message("/speed", ("b", b"1234")), "the type 'b' is not supported; send i, h, f"),
        (message("/speed", ("m", (1, 2, 3, 4))), "the type 'm' is not supported"),
        (b"/speed\0\0,\xff\0\0\0\0\0\0", "the type .* is not supported"),
        (b"/speed\0\0,f\0\0", "cut short"),
        (b"/speed\0\0,f\0\0\0\0\0", "cut short"),
        (b"/speed\0\0,h\0\0\0\0\0\0", "cut short"),
        (b"/prompt\0,s\0\0", "cut short"),
        (b"/prompt\0,s\0\0abc", "cut short"),
        (b"/prompt\0,s\0\0abcde\0", "cut short"),
        (b"/prompt\0,s\0\0\xff\xfe\xfd\0", "not UTF-8"),
        (message("/prompt", ("s", "x" * 65_000)), "65,000 bytes; send at most 4,000"),
    ],
)
def test_a_malformed_message_is_refused_in_one_sentence(datagram: bytes, sentence: str) -> None:
    with pytest.raises(OscError, match=sentence) as refused:
        decoded(datagram)
    text = str(refused.value)
    assert text.isascii()
    assert text.isprintable()
    assert text.endswith(".")
    assert len(text) < 300


def test_a_bundle_is_its_messages_in_their_order() -> None:
    one, two, three = (message("/speed", ("f", value)) for value in (1, 2, 3))
    datagram = bundle(one, bundle(two, bundle()), three)
    assert decoded(datagram) == [("speed", 1), ("speed", 2), ("speed", 3)]


@pytest.mark.parametrize("late_s", [-1e9, -3600.0, 0.0, 0.9])
def test_a_bundle_applies_at_once_whatever_its_time(late_s: float) -> None:
    assert decoded(bundle(message("/tap"), at=NOW + late_s)) == [("tap", True)]


@pytest.mark.parametrize("late_s", [1.5, 3600.0, 1e8])
def test_a_bundle_for_later_is_refused(late_s: float) -> None:
    later = bundle(message("/tap"), at=NOW + late_s)
    for datagram in (later, bundle(message("/undo"), later)):
        with pytest.raises(OscError, match=r"#bundle: the bundle is meant for .* s later"):
            messages(datagram, NOW)


def test_bundles_in_bundles_have_a_limit() -> None:
    datagram = message("/tap")
    for _ in range(MOST_DEPTH):
        datagram = bundle(datagram)
    assert decoded(datagram) == [("tap", True)]
    with pytest.raises(OscError, match=f"more than {MOST_DEPTH} bundles in each other"):
        decoded(bundle(datagram))
    while len(datagram) < 65_000:  # the deepest that fits in a datagram
        datagram = bundle(datagram)
    with pytest.raises(OscError, match="bundles in each other"):
        decoded(datagram)


@pytest.mark.parametrize("size", [-(2**31), -8, -4, 0, 3, 6, 2**31 - 1])
def test_an_element_of_a_wrong_size_is_refused(size: int) -> None:
    datagram = bundle(message("/tap")) + struct.pack(">i", size) + b"/undo\0\0\0,\0\0\0"
    with pytest.raises(OscError, match="an element of a wrong size"):
        messages(datagram, NOW)


@pytest.mark.parametrize("datagram", [bundle()[:cut] for cut in (8, 12, 15)])
def test_a_bundle_without_its_time_is_refused(datagram: bytes) -> None:
    with pytest.raises(OscError, match="cut short"):
        messages(datagram, NOW)


@pytest.mark.parametrize(
    "datagram",
    [
        bundle(*[message("/speed", ("f", 1))] * 3200),
        bundle(*[b"/\0\0\0"] * 8000),
        message("/prompt", ("s", "x" * 65_000)),
        b"/" * 65_507,
        b"\0" * 65_507,
        b"/speed\0\0," + b"[" * 65_000,
        b"/speed\0\0," + b"f" * 32_000 + b"\0" * 32_000,
    ],
    ids=["bundle", "small-elements", "text", "address", "zeros", "arrays", "arguments"],
)
def test_the_largest_datagrams_are_decoded_within_a_fraction_of_a_second(datagram: bytes) -> None:
    began = time.thread_time()
    for found in messages(datagram, NOW):
        with suppress(OscError):
            decode(found)
    assert time.thread_time() - began < 0.5


pieces = st.one_of(
    st.binary(max_size=24),
    st.sampled_from((
        b"/speed\0\0", b"/prompt\0", b"/tap\0\0\0\0", b",f\0\0", b",s\0\0", b",\0\0\0",
        b"#bundle\0", b"\0\0\0\x01", b"\0\0\0\x10", b"\xff\xff\xff\xfc", b"\0\0\0\0\0\0\0\x01",
    )),
)  # fmt: skip


@given(st.one_of(st.binary(max_size=200), st.lists(pieces, max_size=12).map(b"".join)))
def test_no_datagram_raises_anything_but_the_sentence(datagram: bytes) -> None:
    with suppress(OscError):
        for found in messages(datagram, NOW):
            with suppress(OscError):
                name, _ = decode(found)
                assert name in PARAMETERS
