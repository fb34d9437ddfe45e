"""Channels driven by hand: the commands of the control socket that open, use and end them.

They live as long as this process, and so do their peers. A channel whose signer did not answer, or answered
wrongly, is given up.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from signerd.core.wire.composites import Side
from signerd.dev import channel as channels
from signerd.dev import player
from signerd.dev.channel import Channel, Terms
from signerd.dev.closing import is_revoked
from signerd.dev.coins import Kind
from signerd.dev.lifecycle import Life
from signerd.dev.node import HostedNode, RequestRefused
from signerd.dev.steps import Step, Steps
from signerd.dev.verify import WrongAnswer
from signerd.errors import Unavailable, UsageError

T = TypeVar("T")
Arguments = Mapping[str, Any]

_SIDES = {"us": Side.LOCAL, "peer": Side.REMOTE}
_TYPES = {
    "anchors": channels.ANCHORS,
    "static_remotekey": channels.STATIC_REMOTEKEY,
    "zeroconf": channels.ANCHORS_ALIAS_ZEROCONF,
}
_COINS = {kind.value: kind for kind in Kind}


class ChannelCommands:
    """`channel` (a number that `channel-open` gave) may be left out while there is one channel only."""

    def __init__(self, node: Callable[[Arguments], HostedNode]) -> None:
        self._node = node
        self._lives: dict[bytes, Life] = {}
        self.commands: dict[str, Callable[[Arguments], Awaitable[dict[str, Any]]]] = {
            "channels": self._list,
            "channel-open": self._open,
            "channel-pay": self._pay,
            "channel-invoice": self._invoice,
            "channel-htlc": self._htlc,
            "channel-feerate": self._feerate,
            "channel-close": self._close,
            "channel-force-close": self._force_close,
            "channel-cheat": self._cheat,
            "channel-sweep": self._sweep,
            "channel-forget": self._forget,
            "withdraw": self._withdraw,
        }

    async def _list(self, arguments: Arguments) -> dict[str, Any]:
        return {"channels": [_described(channel) for channel in self._life(arguments).channels]}

    async def _open(self, arguments: Arguments) -> dict[str, Any]:
        """`funder`: us or peer; `type`: a name of the list above; `value_sat`; `push_msat`; `dual`: by v2."""
        terms = Terms(
            funder=_choice(_SIDES, arguments, "funder", "us"),
            channel_type=_choice(_TYPES, arguments, "type", "anchors"),
            value_sat=int(arguments.get("value_sat", Terms().value_sat)),
            push_msat=int(arguments.get("push_msat", 0)),
            dual=bool(arguments.get("dual", False)),
        )
        if not 20_000 <= terms.value_sat <= 10**9 or not 0 <= terms.push_msat <= 990 * terms.value_sat:
            raise UsageError("a channel has 20000 to 1000000000 sat, and its funder keeps 1 % of them")
        return await self._played(arguments, None, self._life(arguments).open(terms))

    async def _pay(self, arguments: Arguments) -> dict[str, Any]:
        """`amount_msat`: the peer's invoice is approved, and paid; with `offer`, one of BOLT 12."""
        life, channel = self._life(arguments), self._channel(arguments)
        steps = life.pay(channel, int(arguments["amount_msat"]), offer=bool(arguments.get("offer", False)))
        return await self._played(arguments, channel, steps)

    async def _invoice(self, arguments: Arguments) -> dict[str, Any]:
        """`amount_msat`: our invoice is signed, and the peer pays it."""
        life, channel = self._life(arguments), self._channel(arguments)
        return await self._played(arguments, channel, life.receive(channel, int(arguments["amount_msat"])))

    async def _htlc(self, arguments: Arguments) -> dict[str, Any]:
        """`amount_msat`, `by` (us or peer) and `count` (1): HTLCs that stay in flight."""
        life, channel = self._life(arguments), self._channel(arguments)
        by = _choice(_SIDES, arguments, "by", "us")
        for _ in range(int(arguments.get("count", 1))):
            life.offer(channel, by, int(arguments["amount_msat"]))
        return await self._played(arguments, channel, life.agree(channel, by))

    async def _feerate(self, arguments: Arguments) -> dict[str, Any]:
        """`feerate_per_kw`: what the funder pays from now on."""
        life, channel = self._life(arguments), self._channel(arguments)
        steps = life.change_feerate(channel, int(arguments["feerate_per_kw"]))
        return await self._played(arguments, channel, steps)

    async def _close(self, arguments: Arguments) -> dict[str, Any]:
        """A mutual close, once what is in flight has arrived."""
        life, channel = self._life(arguments), self._channel(arguments)
        _require_open(channel)

        def steps() -> Steps[None]:
            yield from life.settle(channel)
            yield from life.close(channel, rounds=2)

        return await self._played(arguments, channel, steps())

    async def _force_close(self, arguments: Arguments) -> dict[str, Any]:
        """`by`: us or peer. `channel-sweep` comes after it."""
        life, channel = self._life(arguments), self._channel(arguments)
        _require_open(channel)
        if _choice(_SIDES, arguments, "by", "us") is Side.LOCAL:
            return await self._played(arguments, channel, life.force_close(channel))
        life.peer_closes(channel)
        return _described(channel)

    async def _cheat(self, arguments: Arguments) -> dict[str, Any]:
        """The peer publishes a commitment that it has revoked: `number`, or its last one."""
        life, channel = self._life(arguments), self._channel(arguments)
        _require_open(channel)
        number = int(arguments.get("number", channel.newest(Side.REMOTE).number - 1))
        if not 0 <= number < len(channel.held[Side.REMOTE]) or not is_revoked(
            channel, channel.held[Side.REMOTE][number]
        ):
            raise UsageError("the peer has not revoked that commitment", hint="`channel-pay` first")
        life.peer_closes(channel, number)
        return _described(channel)

    async def _sweep(self, arguments: Arguments) -> dict[str, Any]:
        """All that is ours comes home, by penalties if the peer has cheated."""
        life, channel = self._life(arguments), self._channel(arguments)
        before = life.world.wallet.balance_sat
        played = await self._played(arguments, channel, life.sweep(channel))
        return {**played, "gained_sat": life.world.wallet.balance_sat - before}

    async def _forget(self, arguments: Arguments) -> dict[str, Any]:
        life, channel = self._life(arguments), self._channel(arguments)
        return await self._played(arguments, channel, life.forget(channel))

    async def _withdraw(self, arguments: Arguments) -> dict[str, Any]:
        """`amount_sat` and `kind` (p2tr, p2wpkh, p2sh-p2wpkh): made-up coins of the wallet pay somebody."""
        amount_sat = int(arguments["amount_sat"])
        if not 1000 <= amount_sat <= 10**9:
            raise UsageError("a withdrawal is for 1000 to 1000000000 sat")
        steps = self._life(arguments).withdraw(amount_sat, _choice(_COINS, arguments, "kind", "p2tr"))
        tx, asked = await self._play(arguments, steps)
        return {"txid": tx.txid[::-1].hex(), "inputs": len(tx.inputs), "requests": asked}

    async def _played(
        self, arguments: Arguments, channel: Channel | None, steps: Steps[Any]
    ) -> dict[str, Any]:
        """The channel afterwards, and how many requests were answered."""
        life = self._life(arguments)
        try:
            result, asked = await self._play(arguments, steps)
        except (RequestRefused, WrongAnswer, Unavailable):
            if channel in life.channels:
                life.channels.remove(channel)
            raise
        told = {"invoice": result} if isinstance(result, str) else {}
        channel = channel or result
        return {**_described(channel), "requests": asked, **told}

    async def _play(self, arguments: Arguments, steps: Steps[Any]) -> tuple[Any, int]:
        """What comes of some steps, and how many requests were answered."""
        node, asked = self._node(arguments), 0
        seconds = float(arguments.get("timeout", 10))

        async def answer(step: Step) -> bytes:
            nonlocal asked
            asked += 1
            context = player.context_of(step.context)
            try:
                return await asyncio.wait_for(node.ask(step.raw, context=context), seconds)
            except TimeoutError as error:
                raise Unavailable(
                    f"no signer answered {step.name} within {seconds:g} s",
                    hint="is `signerd run` attached? The channel is given up",
                ) from error

        return await player.play_to(answer, steps), asked

    def _life(self, arguments: Arguments) -> Life:
        node = self._node(arguments)
        if node.node_id not in self._lives:
            now = int(time.time())
            # Numbers that the node has not used before, also when this process was another one then.
            self._lives[node.node_id] = Life(
                player.account_of(node), seed=secrets.token_bytes(16), now=now, first_dbid=now
            )
        return self._lives[node.node_id]

    def _channel(self, arguments: Arguments) -> Channel:
        found = self._life(arguments).channels
        if "channel" in arguments:
            found = [channel for channel in found if channel.dbid == arguments["channel"]]
        if len(found) != 1:
            raise UsageError(
                f"{len(found)} channels are meant", hint='`channels` lists them; say which: {"channel": …}'
            )
        return found[0]


def _described(channel: Channel) -> dict[str, Any]:
    balances = channel.updates.balances
    return {
        "channel": channel.dbid,
        "peer_id": channel.peer.node_id.hex(),
        "funding": str(channel.funding),
        "funder": "us" if channel.terms.funder is Side.LOCAL else "peer",
        "ours_msat": balances[Side.LOCAL],
        "theirs_msat": balances[Side.REMOTE],
        "htlcs": len(channel.updates.payments),
        "commitments": {
            "ours": len(channel.held[Side.LOCAL]) - 1,
            "theirs": len(channel.held[Side.REMOTE]) - 1,
        },
        "status": _status(channel),
    }


def _status(channel: Channel) -> str:
    if channel.closing_tx:
        return "closed mutually"
    if channel.published is None:
        return "open"
    if channel.swept:
        return "swept"
    if channel.published.side is Side.LOCAL:
        return "force-closed by us"
    return "the peer cheats" if is_revoked(channel, channel.published) else "force-closed by the peer"


def _require_open(channel: Channel) -> None:
    if not channel.open:
        raise UsageError(f"the channel is {_status(channel)}")


def _choice(known: Mapping[str, T], arguments: Arguments, name: str, default: str) -> T:
    chosen = arguments.get(name, default)
    if chosen not in known:
        raise UsageError(f"{name} cannot be {chosen!r}", hint=f"one of {', '.join(known)}")
    return known[chosen]
