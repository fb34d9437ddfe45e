"""`signerd new-store`: in the place of a store that was lost, and of no other."""

from __future__ import annotations

from signerd.core.keys.node import NodeKeys
from signerd.core.state.book import Changes, ChannelId
from signerd.core.state.channel import ChannelState
from signerd.store import lineage
from signerd.units import Secret

KEYS = NodeKeys.derive(Secret(bytes(range(32))))
CHANNEL = ChannelId(b"\x02" * 33, 9)


def test_makes_a_store_that_knows_how_far_the_channels_went(signerd):
    signerd.put_secret()
    done = signerd.run("new-store", "--highest-channel", "17", "--json")
    assert done.code == 0
    path = signerd.data_dir / "signerd.db"
    assert {"v": 1, "store": str(path), "replaced": None, "highest_channel": 17} == done.json
    with lineage.in_use(path, KEYS.node_id) as store:
        assert 17 == store.node.forgotten_dbid


def test_leaves_a_store_alone_that_is_whole(signerd):
    signerd.put_secret()
    path = signerd.data_dir / "signerd.db"
    with lineage.in_use(path, KEYS.node_id) as store:
        store.commit(Changes(channels={CHANNEL: ChannelState()}))
    done = signerd.run("new-store", "--highest-channel", "17")
    assert done.code == 65
    assert "needs no other in its place" in done.err
    path.unlink()
    done = signerd.run("new-store", "--highest-channel", "17")
    assert done.code == 0
    assert f"store     {path}" in done.out


def test_wants_to_know_how_far_the_channels_went(signerd):
    signerd.put_secret()
    for arguments in ([], ["--highest-channel", "-1"], ["--highest-channel", str(2**64)]):
        done = signerd.run("new-store", *arguments)
        assert done.code == 64
        assert "--highest-channel" in done.err
    assert not (signerd.data_dir / "signerd.db").exists()
