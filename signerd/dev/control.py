"""How another process steers a local Greenlight: one JSON object per line over a Unix socket.

A request is {"command": NAME, …arguments}, its answer {"ok": {…}} or {"error": TEXT, "hint": TEXT or null}.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from signerd.dev import files
from signerd.dev.channel_control import ChannelCommands
from signerd.dev.faults import EVERY_METHOD, Fault
from signerd.dev.listener import Listener
from signerd.dev.local import LocalGreenlight
from signerd.dev.node import HostedNode, RequestRefused
from signerd.dev.verify import WrongAnswer
from signerd.errors import Rejected, SignerdError, Unavailable, UsageError

SOCKET_NAME = "dev.sock"
_MAX_LINE = 64 * 1024 * 1024
_MAX_PATH = 100  # sun_path has 108 bytes on Linux, 104 elsewhere

Arguments = Mapping[str, Any]
Result = TypeVar("Result")


class Control:
    """The commands. `node_id` (hex) may be left out while there is one node only."""

    def __init__(self, greenlight: LocalGreenlight) -> None:
        self._greenlight = greenlight
        self._commands: dict[str, Callable[[Arguments], Awaitable[dict[str, Any]]]] = {
            "status": self._status,
            "fault": self._fault,
            "clear": self._clear,
            "restart": self._restart,
            "listen": self._listen,
            "schedule": self._schedule,
            "stop-node": self._stop_node,
            "ask": self._ask,
            "examine": self._examine,
            "pairings": self._pairings,
            "invite": self._invite,
            "reports": self._reports,
            "rejections": self._rejections,
            "export-payload": self._export_payload,
            **ChannelCommands(self._node).commands,
        }

    @contextlib.asynccontextmanager
    async def serve(self, path: Path) -> AsyncIterator[None]:
        """Listen on `path` (mode 0600) until the block is left. Raises UsageError for too long a path."""
        if len(bytes(path)) > _MAX_PATH:
            raise UsageError(f"{path} is too long for a socket", hint="choose a shorter --dir")
        files.remove(path)  # left behind by a killed process; the lock says that it is none's
        lines: set[asyncio.StreamWriter] = set()

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            lines.add(writer)
            try:
                while line := await reader.readline():
                    writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                    await writer.drain()
            except (ConnectionError, ValueError):
                pass  # the other side has gone, or sent a line without end
            finally:
                lines.discard(writer)
                writer.close()

        server = await asyncio.start_unix_server(accepted, path, limit=_MAX_LINE)
        files.restrict(path)
        try:
            yield
        finally:
            server.close()
            for writer in lines:
                writer.transport.abort()
            await server.wait_closed()
            files.remove(path)

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            arguments = json.loads(line)
            name = arguments.pop("command")
            command = self._commands.get(name)
            if command is None:
                raise UsageError(f"there is no command {name!r}", hint=f"one of {', '.join(self._commands)}")
            return {"ok": await command(arguments)}
        except SignerdError as error:
            return {"error": error.message, "hint": error.hint}
        except (RequestRefused, WrongAnswer) as error:
            return {"error": f"the signer answered: {error}", "hint": None}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return {"error": f"the command cannot be read: {error!r}", "hint": None}

    async def _status(self, _arguments: Arguments) -> dict[str, Any]:
        greenlight = self._greenlight
        return {
            "env": greenlight.env,
            "scheduler": {"uri": greenlight.scheduler_uri, "mode": greenlight.scheduler.mode},
            "nodes": [self._node_status(node) for node in greenlight.nodes.values()],
            "calls": greenlight.calls.counts(),
            "reports": len(greenlight.reports),
        }

    def _node_status(self, node: HostedNode) -> dict[str, Any]:
        return {
            "node_id": node.node_id.hex(),
            "network": node.registration.network,
            "version": node.registration.version,
            "devices": self._greenlight.devices(node.node_id),
            "grpc_uri": node.grpc_uri,
            "signers": node.signers,
            "signer_stream": node.approvals.attached.is_set(),
            "pending": node.pending(),
            "rejections": len(node.rejections),
            "exported": node.registration.export is not None,
        }

    async def _fault(self, arguments: Arguments) -> dict[str, Any]:
        rest = {name: value for name, value in arguments.items() if name != "method"}
        method = arguments.get("method", EVERY_METHOD)
        self._greenlight.faults.set(method, Fault.from_json(rest))
        return {"method": method}

    async def _clear(self, arguments: Arguments) -> dict[str, Any]:
        self._greenlight.faults.clear(arguments.get("method"))
        return {}

    async def _restart(self, _arguments: Arguments) -> dict[str, Any]:
        await self._greenlight.restart()
        return {"uri": self._greenlight.scheduler_uri}

    async def _listen(self, arguments: Arguments) -> dict[str, Any]:
        """`mode` of the scheduler's address, or with `node_id` of that node's."""
        listener: Listener | None = self._greenlight.scheduler
        if "node_id" in arguments:
            listener = self._node(arguments).listener
        if listener is None:
            raise UsageError("the node is not placed", hint="`schedule` it first")
        modes = {
            "serving": listener.serve,
            "refusing": listener.refuse,
            "half-open": listener.half_open,
            "cutting": listener.cut,
        }
        mode = modes.get(arguments["mode"])
        if mode is None:
            raise UsageError(f"there is no mode {arguments['mode']!r}", hint=f"one of {', '.join(modes)}")
        await mode()
        return {"mode": listener.mode}

    async def _schedule(self, arguments: Arguments) -> dict[str, Any]:
        node = await self._greenlight.schedule(self._node(arguments).node_id)
        return {"grpc_uri": node.grpc_uri}

    async def _stop_node(self, arguments: Arguments) -> dict[str, Any]:
        await self._greenlight.stop_node(self._node(arguments).node_id)
        return {}

    async def _ask(self, arguments: Arguments) -> dict[str, Any]:
        """`raw`: an hsmd request in hex. Waits `timeout` (10) seconds for a signer."""
        node = self._node(arguments)
        reply = await _in_time(node.ask(bytes.fromhex(arguments["raw"])), arguments)
        return {"reply": reply.hex()}

    async def _examine(self, arguments: Arguments) -> dict[str, Any]:
        node = self._node(arguments)
        answered = await _in_time(node.examine(without=arguments.get("without", ())), arguments)
        return {"answered": answered}

    async def _pairings(self, _arguments: Arguments) -> dict[str, Any]:
        sessions = (session.request for session in self._greenlight.pairings.values())
        return {
            "waiting": [
                {
                    "device_id": request.device_id,
                    "device_name": request.device_name,
                    "description": request.description,
                    "restrictions": request.restrictions,
                }
                for request in sessions
            ]
        }

    async def _invite(self, _arguments: Arguments) -> dict[str, Any]:
        return {"code": self._greenlight.new_invite_code()}

    async def _reports(self, _arguments: Arguments) -> dict[str, Any]:
        return {
            "reports": [
                {"node_id": report.node_id.hex(), "msg": report.msg, "raw": report.request.raw.hex()}
                for report in self._greenlight.reports
            ]
        }

    async def _rejections(self, arguments: Arguments) -> dict[str, Any]:
        rejections = self._node(arguments).rejections
        return {
            "rejections": [
                {"request_id": r.request_id, "raw": r.raw.hex(), "error": r.error} for r in rejections
            ]
        }

    async def _export_payload(self, arguments: Arguments) -> dict[str, Any]:
        """What the next export holds: `hex`, or the contents of `path`."""
        if "hex" in arguments:
            payload = bytes.fromhex(arguments["hex"])
        else:
            try:
                payload = await asyncio.to_thread(Path(arguments["path"]).read_bytes)
            except OSError as error:
                raise UsageError(f"cannot read {arguments['path']}: {error.strerror}") from error
        self._greenlight.settings.export_payload = payload
        return {"size": len(payload)}

    def _node(self, arguments: Arguments) -> HostedNode:
        if "node_id" in arguments:
            return self._greenlight.node(bytes.fromhex(arguments["node_id"]))
        nodes = list(self._greenlight.nodes.values())
        if len(nodes) != 1:
            raise UsageError(f"there are {len(nodes)} nodes", hint='say which: {"node_id": "02…"}')
        return nodes[0]


def send(path: Path, command: str, arguments: Arguments) -> dict[str, Any]:
    """One command, from another process. Raises Unavailable without a listener, Rejected for an error."""
    line = json.dumps({**arguments, "command": command}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(path))
            connection.sendall(line)
            with connection.makefile("rb") as answers:
                answer = answers.readline()
    except OSError as error:
        raise Unavailable(
            f"no local Greenlight answers at {path}: {error.strerror}", hint="start one with `signerd dev`"
        ) from error
    if not answer:
        raise Unavailable(f"the local Greenlight at {path} went away")
    parsed: dict[str, Any] = json.loads(answer)
    if "error" in parsed:
        raise Rejected(parsed["error"], hint=parsed["hint"])
    result: dict[str, Any] = parsed["ok"]
    return result


async def _in_time(answer: Awaitable[Result], arguments: Arguments) -> Result:
    seconds = float(arguments.get("timeout", 10))
    try:
        return await asyncio.wait_for(answer, seconds)
    except TimeoutError as error:
        raise Unavailable(
            f"no signer answered within {seconds:g} s", hint="is `signerd run` attached?"
        ) from error
