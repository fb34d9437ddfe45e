"""Only addresses of this machine are accepted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd import addresses, config
from signerd.addresses import ListenAddress
from signerd.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9735", ListenAddress(host="127.0.0.1", port=9735)),
        ("127.0.0.53:0", ListenAddress(host="127.0.0.53", port=0)),
        ("[::1]:65535", ListenAddress(host="::1", port=65535)),
        ("unix:/run/signerd/metrics", ListenAddress(path=Path("/run/signerd/metrics"))),
    ],
)
def test_reads_an_address_of_this_machine(text, address):
    assert addresses.parse(text, key="metrics.listen") == address
    assert config.parse(f'[metrics]\nlisten = "{text}"', source="x").metrics.listen == text


@pytest.mark.parametrize(
    "text",
    ["0.0.0.0:9735", "[::]:9735", ":9735", "9735", "localhost:9735", "10.0.0.1:1", "127.0.0.1", "127.0.0.1:",
     "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.256:1", "127.1:1", "128.0.0.1:1", "::1:9735", "[::1]",
     "[::ffff:10.0.0.1]:1", "unix:metrics", "unix:", "unix:/run/x\n", "http://127.0.0.1:1", "127.0.0.1:1 ",
     "127.0.0.1.evil.example:1", "127.0.0.١:1"],
)  # fmt: skip
def test_refuses_what_others_could_reach_and_what_is_no_address(text):
    with pytest.raises(ConfigError, match=r"metrics\.listen") as refused:
        addresses.parse(text, key="metrics.listen")
    assert "127.0.0.1:PORT" in (refused.value.hint or "")


def test_the_configuration_is_refused_with_it():
    with pytest.raises(ConfigError, match=r"signerd\.toml: metrics\.listen = '0\.0\.0\.0:1'"):
        config.parse('[metrics]\nlisten = "0.0.0.0:1"', source="signerd.toml")


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_refused(text):
    try:
        address = addresses.parse(text, key="k")
    except ConfigError:
        return
    assert address.path or address.host
