"""Would Bitcoin's nodes accept this? Witnesses executed, with nothing of ours between bytes and verdict.

Twice. Bitcoin Core's own interpreter (libbitcoinkernel) says whether they are valid. A second one also holds
them to what nodes demand before they relay: embit reads transactions and computes digests, OpenSSL verifies
ECDSA; it knows the opcodes of Lightning's scripts, and the rules that make a witness standard (BIP 16, 65,
68, 112, 141, 143, 146, 341).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pbk
from coincurve import PublicKeyXOnly
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from embit.hashes import hash160, ripemd160
from embit.script import Script
from embit.transaction import SIGHASH, Transaction
from pbk.script import PrecomputedTransactionData

HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_PREHASHED = ec.ECDSA(utils.Prehashed(hashes.SHA256()))


class Invalid(Exception):
    """No node would relay it."""


def verify(raw: bytes, spent: list[tuple[int, bytes]]) -> None:
    """Every input of a serialized transaction; `spent` holds value and script of each. Raises Invalid."""
    tx = Transaction.read_from(BytesIO(raw))
    _require(len(spent) == len(tx.vin), "inputs are missing")
    for number, (value, program) in enumerate(spent):
        _verify_input(tx, number, value, program, spent)
    require_consensus(raw, spent)


def require_consensus(raw: bytes, spent: list[tuple[int, bytes]]) -> None:
    """As `verify`, by Bitcoin Core's rules for blocks and nothing else. Raises Invalid."""
    tx = pbk.Transaction(raw)
    outputs = [pbk.TransactionOutput(pbk.ScriptPubkey(program), value) for value, program in spent]
    known = PrecomputedTransactionData(tx, outputs)
    for number, (value, program) in enumerate(spent):
        found = pbk.ScriptPubkey(program).verify(value, tx, known, number, pbk.ScriptVerificationFlags.ALL)
        _require(found, f"Bitcoin Core's interpreter refuses the witness of input {number}")


def _verify_input(tx: Any, number: int, value: int, program: bytes, spent: list[tuple[int, bytes]]) -> None:
    item = tx.vin[number]
    witness = [bytes(entry) for entry in item.witness.items]
    script_sig = bytes(item.script_sig.data)
    if len(program) == 23 and program[:2] == b"\xa9\x14":
        redeem = script_sig[1:]
        _require(script_sig[:1] == bytes([len(redeem)]), "a P2SH input pushes its redeem script only")
        _require(hash160(redeem) == program[2:22], "the redeem script has another hash")
        program, script_sig = redeem, b""
    _require(not script_sig, "a segwit input has a script signature")
    if program[:2] == b"\x51\x20":
        _require(len(witness) == 1 and len(witness[0]) == 64, "a key path has one signature of 64 bytes")
        scripts, values = [Script(entry) for _, entry in spent], [amount for amount, _ in spent]
        digest = tx.sighash_taproot(number, scripts, values, sighash=SIGHASH.DEFAULT)
        _require(PublicKeyXOnly(program[2:]).verify(witness[0], digest), "the taproot signature is wrong")
        return
    if program[:2] == b"\x00\x14":
        _require(len(witness) == 2, "P2WPKH has a signature and a key")
        _require(hash160(witness[1]) == program[2:], "the key has another hash")
        script = b"\x76\xa9\x14" + program[2:] + b"\x88\xac"
        stack = witness
    else:
        _require(program[:2] == b"\x00\x20", "no witness program is spent")
        *stack, script = witness
        _require(hashlib.sha256(script).digest() == program[2:], "the witness script has another hash")

    def check(signature: bytes, key: bytes) -> bool:
        if not signature:
            return False
        digest = tx.sighash_segwit(number, Script(script), value, sighash=signature[-1])
        return _ecdsa(signature[:-1], key, digest)

    _execute(script, list(stack), check, locktime=tx.locktime, sequence=item.sequence)


def _ecdsa(der: bytes, key: bytes, digest: bytes) -> bool:
    _, s = utils.decode_dss_signature(der)
    _require(s <= HALF_ORDER, "a signature has a high s")
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), key)
    try:
        public.verify(der, digest, _PREHASHED)
    except InvalidSignature as wrong:
        # BIP 146: a signature that is not empty must be right.
        raise Invalid("a signature is wrong") from wrong
    return True


def _execute(
    script: bytes, stack: list[bytes], check: Callable[[bytes, bytes], bool], *, locktime: int, sequence: int
) -> None:
    machine = _Machine(stack, check, locktime, sequence)
    position = 0
    while position < len(script):
        opcode, position = script[position], position + 1
        if opcode < 76:
            data, position = script[position : position + opcode], position + opcode
            machine.push(data)
        else:
            machine.do(opcode)
    _require(not machine.branches, "an IF has no end")
    _require(len(stack) == 1 and _true(stack[0]), "the script does not leave one true value")


class _Machine:
    def __init__(
        self, stack: list[bytes], check: Callable[[bytes, bytes], bool], locktime: int, sequence: int
    ) -> None:
        self.stack = stack
        self.check = check
        self.locktime = locktime
        self.sequence = sequence
        self.branches: list[bool] = []

    def push(self, data: bytes) -> None:
        if all(self.branches):
            self.stack.append(data)

    def do(self, opcode: int) -> None:  # noqa: C901, PLR0912 (one case for each opcode)
        running, stack = all(self.branches), self.stack
        if opcode in (0x63, 0x64):
            value = False
            if running:
                top = stack.pop()
                _require(top in (b"", b"\x01"), "an IF decides about neither empty nor 1")
                value = bool(top) is (opcode == 0x63)
            self.branches.append(value)
        elif opcode == 0x67:
            self.branches[-1] = not self.branches[-1]
        elif opcode == 0x68:
            self.branches.pop()
        elif not running:
            return
        elif 0x51 <= opcode <= 0x60:
            stack.append(bytes([opcode - 0x50]))
        elif opcode == 0x73:
            if _true(stack[-1]):
                stack.append(stack[-1])
        elif opcode == 0x75:
            stack.pop()
        elif opcode == 0x76:
            stack.append(stack[-1])
        elif opcode == 0x7C:
            stack[-1], stack[-2] = stack[-2], stack[-1]
        elif opcode == 0x82:
            stack.append(_number(len(stack[-1])))
        elif opcode in (0x87, 0x88):
            stack.append(b"\x01" if stack.pop() == stack.pop() else b"")
            if opcode == 0x88:
                _require(_true(stack.pop()), "EQUALVERIFY fails")
        elif opcode == 0xA9:
            stack.append(bytes(hash160(stack.pop())))
        elif opcode == 0xA6:
            stack.append(bytes(ripemd160(stack.pop())))
        elif opcode in (0xAC, 0xAD):
            key, signature = stack.pop(), stack.pop()
            stack.append(b"\x01" if self.check(signature, key) else b"")
            if opcode == 0xAD:
                _require(_true(stack.pop()), "CHECKSIGVERIFY fails")
        elif opcode == 0xAE:
            self._multisig()
        elif opcode == 0xB1:
            needed = int.from_bytes(stack[-1], "little")
            _require(needed <= self.locktime < 500_000_000, "the lock time is too low")
            _require(self.sequence != 0xFFFFFFFF, "a final input ignores the lock time")
        elif opcode == 0xB2:
            needed = int.from_bytes(stack[-1], "little")
            _require(not self.sequence >> 22, "the sequence is no number of blocks")
            _require(needed <= self.sequence & 0xFFFF, "the sequence is too low")
        else:
            raise Invalid(f"opcode {opcode:#04x} is in none of Lightning's scripts")

    def _multisig(self) -> None:
        stack = self.stack
        keys = [stack.pop() for _ in range(stack.pop()[0])][::-1]
        signatures = [stack.pop() for _ in range(stack.pop()[0])][::-1]
        _require(stack.pop() == b"", "the extra item of CHECKMULTISIG is not empty")
        # Two of two, in order: all that Lightning has.
        _require(len(keys) == len(signatures) == 2, "not two of two")
        good = all(self.check(signature, key) for signature, key in zip(signatures, keys, strict=True))
        stack.append(b"\x01" if good else b"")


def _true(value: bytes) -> bool:
    return any(value)


def _number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 8) // 8, "little") if value else b""


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise Invalid(problem)
