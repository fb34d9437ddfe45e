"""Where two transactions part, in words: for the refusal after a composition that came out different."""

from __future__ import annotations

from signerd.core.tx.transaction import Input, Output, Transaction


def first_difference(expected: Transaction, actual: Transaction) -> str:
    """What differs first, e.g. "output 2 pays 1000 sat, expected 990 sat"; empty if they are the same.

    Witnesses and script signatures are not compared: what is signed does not commit to them.
    """
    if actual.version != expected.version:
        return f"the version is {actual.version}, expected {expected.version}"
    if actual.locktime != expected.locktime:
        return f"the locktime is {actual.locktime}, expected {expected.locktime}"
    if len(actual.inputs) != len(expected.inputs):
        return f"there are {len(actual.inputs)} inputs, expected {len(expected.inputs)}"
    for number, (theirs, ours) in enumerate(zip(actual.inputs, expected.inputs, strict=True)):
        if words := _input_difference(number, ours, theirs):
            return words
    return _outputs_difference(expected.outputs, actual.outputs)


def _input_difference(number: int, expected: Input, actual: Input) -> str:
    if actual.outpoint != expected.outpoint:
        return f"input {number} spends {actual.outpoint}, expected {expected.outpoint}"
    if actual.sequence != expected.sequence:
        return f"input {number} has sequence {actual.sequence:#x}, expected {expected.sequence:#x}"
    return ""


def _outputs_difference(expected: tuple[Output, ...], actual: tuple[Output, ...]) -> str:
    for number, (theirs, ours) in enumerate(zip(actual, expected, strict=False)):
        if theirs == ours:
            continue
        if theirs.script == ours.script:
            return f"output {number} pays {theirs.value} sat, expected {ours.value} sat"
        if sorted(map(_order, actual)) == sorted(map(_order, expected)):
            return f"output {number} is out of order"
        return (
            f"output {number} pays {theirs.value} sat to script {theirs.script.hex()}, "
            f"expected {ours.value} sat to {ours.script.hex()}"
        )
    if len(actual) != len(expected):
        return f"there are {len(actual)} outputs, expected {len(expected)}"
    return ""


def _order(output: Output) -> tuple[int, bytes]:
    return output.value, output.script
