"""The Pairing service: what a new device and the device that approves it ask of the scheduler."""

from __future__ import annotations

from abc import ABC, abstractmethod

from signerd.errors import ProtocolViolation
from signerd.greenlight.calls import Caller, message
from signerd.greenlight.pb import greenlight_pb2, scheduler_pb2
from signerd.greenlight.values import PairedDevice, PairingData


class PairingCalls(ABC):
    """These methods of SchedulerClient; see there for the errors."""

    @property
    @abstractmethod
    def _calls(self) -> Caller: ...

    async def pair_device(
        self,
        *,
        device_id: str,
        csr: bytes,
        device_name: str,
        description: str,
        restrictions: str,
        deadline: float | None = None,
    ) -> PairedDevice:
        """Ask to be paired, as the new device, and wait (for `long_deadline`) until somebody approves."""
        reply = await self._calls.unary(
            "/scheduler.Pairing/PairDevice",
            message(
                scheduler_pb2.PairDeviceRequest,
                device_id=device_id,
                csr=csr,
                device_name=device_name,
                description=description,
                restrictions=restrictions,
            ),
            scheduler_pb2.PairDeviceResponse,
            doing="pair this device",
            deadline=deadline,
            waits=True,
        )
        _same_device(reply.device_id, device_id)
        return PairedDevice(device_id, reply.device_cert, reply.rune)

    async def get_pairing_data(self, device_id: str, *, deadline: float | None = None) -> PairingData:
        """What the new device asks for, as the approving device."""
        reply = await self._calls.unary(
            "/scheduler.Pairing/GetPairingData",
            message(scheduler_pb2.GetPairingDataRequest, device_id=device_id),
            scheduler_pb2.GetPairingDataResponse,
            doing="get what the new device asks for",
            deadline=deadline,
            repeatable=True,
        )
        _same_device(reply.device_id, device_id)
        return PairingData(device_id, reply.csr, reply.device_name, reply.description, reply.restrictions)

    async def approve_pairing(
        self,
        *,
        device_id: str,
        timestamp: int,
        device_name: str,
        restrictions: str,
        signature: bytes,
        public_key: bytes,
        rune: str,
        deadline: float | None = None,
    ) -> None:
        """Consent, as the approving device: Unix seconds, 64-byte P-256 signature, 65-byte key."""
        await self._calls.unary(
            "/scheduler.Pairing/ApprovePairing",
            message(
                scheduler_pb2.ApprovePairingRequest,
                device_id=device_id,
                timestamp=timestamp,
                device_name=device_name,
                restrictions=restrictions,
                sig=signature,
                pubkey=public_key,
                rune=rune,
            ),
            greenlight_pb2.Empty,
            doing="approve the pairing",
            deadline=deadline,
        )


def _same_device(answered: str, device_id: str) -> None:
    if answered not in ("", device_id):
        raise ProtocolViolation("the scheduler answered about another device", hint="do not approve it")
