"""What differs between two transactions, told in words."""

from __future__ import annotations

import dataclasses

import pytest

from signerd.core.tx.difference import first_difference
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction

TX = Transaction(
    2,
    (Input(Outpoint(bytes(32), 0), 1), Input(Outpoint(bytes(32), 1), 2)),
    (Output(1000, b"\x01"), Output(2000, b"\x02"), Output(2000, b"\x03")),
    500,
)


def with_output(number, **change):
    outputs = list(TX.outputs)
    outputs[number] = dataclasses.replace(outputs[number], **change)
    return tuple(outputs)


def with_input(number, **change):
    inputs = list(TX.inputs)
    inputs[number] = dataclasses.replace(inputs[number], **change)
    return tuple(inputs)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"version": 1}, "the version is 1, expected 2"),
        ({"locktime": 501}, "the locktime is 501, expected 500"),
        ({"inputs": TX.inputs[:1]}, "there are 1 inputs, expected 2"),
        ({"inputs": with_input(1, sequence=0x10)}, "input 1 has sequence 0x10, expected 0x2"),
        (
            {"inputs": with_input(1, outpoint=Outpoint(bytes(32), 7))},
            f"input 1 spends {'00' * 32}:7, expected {'00' * 32}:1",
        ),
        ({"inputs": with_input(0, witness=(b"x",), script_sig=b"y")}, ""),
        ({"outputs": with_output(1, value=1999)}, "output 1 pays 1999 sat, expected 2000 sat"),
        (
            {"outputs": with_output(2, script=b"\x04")},
            "output 2 pays 2000 sat to script 04, expected 2000 sat to 03",
        ),
        ({"outputs": (TX.outputs[0], TX.outputs[2], TX.outputs[1])}, "output 1 is out of order"),
        ({"outputs": TX.outputs[:2]}, "there are 2 outputs, expected 3"),
        ({"outputs": (*TX.outputs, TX.outputs[0])}, "there are 4 outputs, expected 3"),
    ],
)
def test_says_what_differs_first(change, words):
    assert first_difference(TX, dataclasses.replace(TX, **change)) == words
