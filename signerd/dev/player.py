"""Plays a life to a node's signers, and to anything else that answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from signerd.dev.node import HostedNode
from signerd.dev.steps import Context, Step, Steps
from signerd.dev.world import Account
from signerd.greenlight.pb import greenlight_pb2 as pb

T = TypeVar("T")


def account_of(node: HostedNode) -> Account:
    """What a life needs to know of a registered node."""
    return Account.of(node.registration.init_msg, node.registration.network)


async def play(node: HostedNode, steps: Steps[T]) -> T:
    """Ask all signers of a node each step in turn, and judge what the first answers.

    Raises WrongAnswer for an answer that is no good, RequestRefused for none, and what the life raises.
    """

    async def answer(step: Step) -> bytes:
        return await node.ask(step.raw, context=context_of(step.context))

    return await play_to(answer, steps)


async def play_to(answer: Callable[[Step], Awaitable[bytes]], steps: Steps[T]) -> T:
    """As `play`, with any other way to get an answer."""
    try:
        step = next(steps)
        while True:
            step = steps.send(step.judge(await answer(step)))
    except StopIteration as end:
        result: T = end.value
        return result


def play_at_once(answer: Callable[[Step], bytes], steps: Steps[T]) -> T:
    """As `play_to`, for an answer that needs no waiting."""
    try:
        step = next(steps)
        while True:
            step = steps.send(step.judge(answer(step)))
    except StopIteration as end:
        result: T = end.value
        return result


def context_of(context: Context | None) -> pb.HsmRequestContext | None:
    """As it goes over the wire."""
    if context is None:
        return None
    return pb.HsmRequestContext(node_id=context.peer_id, dbid=context.dbid, capabilities=context.capabilities)
