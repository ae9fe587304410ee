"""An address is shown without its key, wherever the key is; what is none is refused in a sentence
that does not quote it."""

from __future__ import annotations

import pytest

from turbostream.stream.push_address import PushAddressError, parse

SHOWN = {
    "rtmp://a.example/live/KEY": "rtmp://a.example/live/***",
    "rtmps://a.example:443/rtmp/KEY?s_bl=1&a=KEY": "rtmps://a.example:443/rtmp/***",
    "RTMP://a.example/live/KEY": "rtmp://a.example/live/***",
    "rtmp://a.example/live/KEY/": "rtmp://a.example/live/***",
    "rtmp://a.example/live/more/KEY": "rtmp://a.example/live/***",
    "rtmp://a.example//KEY": "rtmp://a.example/***",
    "rtmp://a.example/KEY": "rtmp://a.example/***",
    "rtmp://user:KEY@a.example/live/KEY": "rtmp://a.example/live/***",
    "rtmp://user:KEY@KEY@a.example/live/KEY": "rtmp://a.example/live/***",
    "rtmp://a.example/live?KEY/KEY": "rtmp://a.example/***",
    "rtmp://a.example/live#KEY/KEY": "rtmp://a.example/***",
    "rtmp://[2001:db8::1]:1935/live/KEY": "rtmp://[2001:db8::1]:1935/live/***",
    "srt://a.example:9000?streamid=KEY&passphrase=KEY": "srt://a.example:9000",
    "srt://KEY@a.example:9000/KEY": "srt://a.example:9000",
    "hls:/srv/live": "hls:/srv/live",
    "/srv/live/": "hls:/srv/live",
    "/srv/a/../live": "hls:/srv/live",
}


@pytest.mark.parametrize(("text", "shown"), SHOWN.items())
def test_an_address_is_shown_without_its_key(text: str, shown: str) -> None:
    found = parse(text)
    assert found.shown == shown
    assert "KEY" not in repr(found)


@pytest.mark.parametrize(
    "text",
    [
        "KEY",
        "live/KEY",
        "http://a.example/live/KEY",
        "file:///tmp/KEY",
        "rtmp:a.example/KEY",
        "rtmp:///live/KEY",
        "rtmp://a.example",
        "rtmp://a.example/?KEY",
        "rtmp://a.example:KEY/live/x",
        "rtmp://a.example:99999/live/KEY",
        "rtmp://a.example;KEY/live/x",
        "rtmp://a.example/live/KEY live=1",
        "rtmp://a.example/live/KEY\nrtmp://b",
        "rtmp://[KEY/live/x",
        "srt://a.example?passphrase=KEY",
        "rtmp://a.example/live/" + "KEY" * 1000,
        "hls:live/KEY",
        "hls:/srv/%dKEY",
        "hls:/srv/KEY\0",
    ],
)
def test_what_is_no_address_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(PushAddressError) as refused:
        parse(text)
    assert "KEY" not in str(refused.value).replace("HOST/APP/KEY", "")
