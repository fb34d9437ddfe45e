"""A reload judges everything first, and then it is one step; what is wrong changes nothing."""

from __future__ import annotations

import asyncio
import os
import re

import msgspec
import pytest
from helpers.clock import FakeClock
from helpers.greenlight import asynchronous
from helpers.world import REPOSITORY

from signerd import config
from signerd.config import Overrides, Settings
from signerd.config_change import ConfigChange
from signerd.daemon.backoff import Backoff, Limits
from signerd.daemon.reload import LIVE, LiveSettings, compare
from signerd.errors import ConfigError
from signerd.observe import events
from signerd.observe.bus import Bus

START = '[log]\nlevel = "info"\n'


class Running:
    """Settings in force from a file that can be edited, and everything that was told."""

    def __init__(self, directory):
        self.file = directory / "signerd.toml"
        self.file.write_text(START)
        self.environ = {"HOME": str(directory)}
        self.told = []
        self.live = LiveSettings(self.load(), load=self.load, bus=Bus(self.told.append))

    def load(self) -> Settings:
        named = self.file if "HOME" in self.environ else None
        return config.load(Overrides(config=named), self.environ)

    async def edited(self, text) -> ConfigChange:
        self.file.write_text(text)
        return await self.live.reload()


@pytest.fixture
def running(tmp_path):
    return Running(tmp_path)


# What differs


def load(text, tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(text)
    return config.load(Overrides(config=path), {"HOME": "/h"})


def test_every_live_key_is_a_key():
    assert set(config.known_keys()) >= LIVE


@pytest.mark.parametrize(
    "key",
    [
        "network",
        "data_dir",
        "secret.file",
        "scheduler.uri",
        "scheduler.ca_file",
        "node.version",
        "config_version",
    ],
)
def test_what_the_node_and_its_keys_depend_on_waits_for_a_restart(key):
    assert key not in LIVE


def test_tells_what_holds_and_what_waits_in_the_order_of_the_file(tmp_path):
    old = load("", tmp_path)
    new = load(
        'network = "signet"\n[node]\nversion = "v1"\n[log]\nlevel = "debug"\n[backoff]\nmax_seconds = 5\n'
        '[scheduler]\nuri = "https://h"\n', tmp_path,
    )  # fmt: skip

    assert compare(old, new) == ConfigChange(
        applied=("backoff.max_seconds", "log.level"),
        needs_restart=("network", "scheduler.uri", "node.version"),
    )
    assert compare(old, old) == ConfigChange()


def test_what_follows_from_a_key_differs_with_it(tmp_path):
    change = compare(load("", tmp_path), load('data_dir = "/d"\n', tmp_path))

    # The secret is in the data directory, so it would move too.
    assert {"data_dir", "secret.file"} <= set(change.needs_restart)


def test_a_default_that_is_written_down_changes_nothing(tmp_path):
    assert compare(load("", tmp_path), load('[log]\nlevel = "info"\n', tmp_path)) == ConfigChange()


def test_the_documentation_has_every_live_key_and_no_other():
    text = (REPOSITORY / "docs" / "configuration.md").read_text().partition("| holds from |")[2]
    table = text.partition("\n\n")[0]

    assert set(re.findall(r"`([a-z]+\.[a-z_]+)`", table)) == LIVE


# Reloading


@asynchronous
async def test_what_can_change_holds_and_the_rest_stays(running):
    change = await running.edited('network = "signet"\n[log]\nlevel = "debug"\n')

    assert change == ConfigChange(("log.level",), ("network",))
    now = running.live.now
    assert (now.config.log.level, now.config.network, now.network) == ("debug", "bitcoin", "bitcoin")
    assert running.told == [events.ConfigReloaded(applied="log.level", needs_restart="network")]
    assert now.origins["log.level"].line == 3


@asynchronous
async def test_what_waits_is_told_again_each_time(running):
    for _ in range(2):
        assert (await running.edited('network = "signet"\n')).needs_restart == ("network",)


@asynchronous
async def test_going_back_is_a_change_too(running):
    await running.edited('[log]\nlevel = "debug"\n')

    assert await running.edited("") == ConfigChange(("log.level",), ())
    assert running.live.now.config.log.level == "info"


@asynchronous
async def test_nothing_changed_is_told_as_such(running):
    assert await running.live.reload() == ConfigChange()
    assert running.told == [events.ConfigReloaded(applied="nothing", needs_restart="nothing")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[log\n", "is not valid TOML"),
        ('[log]\nlevel = "debug"\n[backoff]\nmax_seconds = -1\n', "backoff.max_seconds = -1"),
        ('[log]\nlevel = "debug"\nlevle = "x"\n', "unknown key 'log.levle'"),
        ("config_version = 99\n", "config_version = 99"),
    ],
)
@asynchronous
async def test_a_wrong_file_changes_nothing_and_is_told(running, text, reason):
    before = running.live.now

    with pytest.raises(ConfigError) as refused:
        await running.edited(text)

    assert reason in refused.value.message
    assert running.live.now is before
    (told,) = running.told
    assert isinstance(told, events.ConfigReloadFailed)
    assert reason in told.reason
    # And the next one works.
    assert (await running.edited('[log]\nlevel = "debug"\n')).applied == ("log.level",)


@asynchronous
async def test_a_file_that_cannot_be_read_changes_nothing(running):
    before = running.live.now
    running.file.unlink()

    with pytest.raises(ConfigError, match="no configuration file"):
        await running.live.reload()
    assert running.live.now is before


@asynchronous
async def test_a_pipe_is_not_read_again(tmp_path):
    """`--config <(…)`: it gave its text at the start, and an empty file would mean the defaults."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    settings = config.load(Overrides(), {"HOME": "/h"})
    live = LiveSettings(msgspec.structs.replace(settings, config_file=pipe), load=lambda: settings, bus=Bus())

    with pytest.raises(ConfigError, match="is no regular file"):
        await live.reload()


@asynchronous
async def test_the_usual_file_that_is_gone_does_not_mean_the_defaults(tmp_path):
    """An editor that writes a file by moving the old one away first would else lower what it holds."""
    usual = tmp_path / "signerd" / "config.toml"
    usual.parent.mkdir()
    usual.write_text('[pairing]\npolicy = "deny"\n')
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": "/h"}

    def load() -> Settings:
        return config.load(Overrides(), environ)

    live = LiveSettings(load(), load=load, bus=Bus())
    usual.unlink()

    with pytest.raises(ConfigError, match="is gone"):
        await live.reload()
    assert live.now.config.pairing.policy == "deny"


@asynchronous
async def test_nothing_is_put_in_place_when_one_of_those_that_prepare_refuses(running):
    placed = []
    running.live.on_change(lambda settings: lambda: placed.append(settings.config.log.level))

    def refuse(settings):
        if settings.config.log.level == "error":
            raise ConfigError("not this one")
        return lambda: placed.append("second")

    running.live.on_change(refuse)

    with pytest.raises(ConfigError, match="not this one"):
        await running.edited('[log]\nlevel = "error"\n')
    assert placed == []
    assert running.live.now.config.log.level == "info"
    await running.edited('[log]\nlevel = "debug"\n')
    assert placed == ["debug", "second"]


@asynchronous
async def test_a_bug_in_what_prepares_does_not_end_the_signer(running):
    running.live.on_change(lambda settings: 1 // 0)

    with pytest.raises(ConfigError, match="a bug in signerd: ZeroDivisionError"):
        await running.edited('[log]\nlevel = "debug"\n')
    assert running.live.now.config.log.level == "info"


@asynchronous
async def test_reloads_at_once_come_one_after_the_other(running):
    order = []
    running.live.on_change(lambda settings: lambda: order.append(settings.config.log.level))
    running.file.write_text('[log]\nlevel = "debug"\n')

    changes = await asyncio.gather(*(running.live.reload() for _ in range(5)))

    assert [change.applied for change in changes] == [("log.level",), (), (), (), ()]
    assert order == ["debug"] * 5


@asynchronous
async def test_a_doubtful_variable_is_told_again(running):
    running.environ["SIGNERD_LOG_LEVLE"] = "debug"

    await running.live.reload()

    assert [type(event) for event in running.told] == [events.ConfigReloaded, events.ConfigWarning]


# What follows settings


def test_a_backoff_follows_limits_that_change():
    limits = [Limits(0.5, 30, 60)]
    backoff = Backoff.following(FakeClock(), lambda: limits[0])
    for _ in range(10):
        backoff.pause()

    limits[0] = Limits(0.5, 0.001, 60)

    assert backoff.pause() <= 0.001
