"""Our protos and those that gl-client ships: the same services, methods, messages, fields and enums.

The wheel is older than the protocol we speak. Whatever differs is listed here by name; a difference that is
not listed fails, and so does an entry that no longer differs.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from helpers.peer import run_peer

from signerd.greenlight.pb import greenlight_pb2, scheduler_pb2

pytestmark = pytest.mark.interop

# Runs in both interpreters, so that both sides are described by the same code.
DESCRIBE = """
def describe(modules):
    from google.protobuf.descriptor import FieldDescriptor

    types = {
        value: name[5:].lower() for name, value in vars(FieldDescriptor).items() if name.startswith("TYPE_")
    }
    found = {}

    def add_enum(enum):
        found[f"enum {enum.full_name}"] = {value.name: value.number for value in enum.values}

    def add_message(message):
        found[f"message {message.full_name}"] = "message"
        for field in message.fields:
            kind = field.message_type or field.enum_type
            found[f"field {message.full_name}.{field.name}"] = {
                "number": field.number,
                "type": kind.full_name if kind else types[field.type],
                "repeated": field.is_repeated,
                "presence": field.has_presence,
                "oneof": field.containing_oneof.name if field.containing_oneof else None,
            }
        for enum in message.enum_types:
            add_enum(enum)
        for nested in message.nested_types:
            add_message(nested)

    for module in modules:
        file = module.DESCRIPTOR
        for service in file.services_by_name.values():
            found[f"service {service.full_name}"] = "service"
            for method in service.methods:
                found[f"method {service.full_name}.{method.name}"] = {
                    "input": method.input_type.full_name,
                    "output": method.output_type.full_name,
                    "client_streaming": method.client_streaming,
                    "server_streaming": method.server_streaming,
                }
        for message in file.message_types_by_name.values():
            add_message(message)
        for enum in file.enum_types_by_name.values():
            add_enum(enum)
    return found
"""

DUMP = (
    DESCRIBE
    + """
import json
from glclient import greenlight_pb2, scheduler_pb2
print(json.dumps(describe([greenlight_pb2, scheduler_pb2])))
"""
)

# Newer than the wheel. A message or a service stands for all that is in it.
LACKING_IN_THE_WHEEL = {
    "method greenlight.Node.LspInvoice",
    "method greenlight.Node.StreamNodeEvents",
    "message greenlight.LspInvoiceRequest",
    "message greenlight.LspInvoiceResponse",
    "message greenlight.NodeEventsRequest",
    "message greenlight.NodeEvent",
    "message greenlight.InvoicePaid",
    "field greenlight.SignerStateEntry.signature",
}

# From the time before nodes spoke Core Lightning's own gRPC: no method and no living message uses them.
DEAD_IN_THE_WHEEL = {
    "enum greenlight.BtcAddressType",
    "enum greenlight.CloseChannelType",
    "enum greenlight.FeeratePreset",
    "enum greenlight.InvoiceStatus",
    "enum greenlight.NetAddressType",
    "enum greenlight.OutputStatus",
    "enum greenlight.PayStatus",
    "message greenlight.Address",
    "message greenlight.Aliases",
    "message greenlight.BitcoinAddress",
    "message greenlight.Channel",
    "message greenlight.CloseChannelRequest",
    "message greenlight.CloseChannelResponse",
    "message greenlight.Confirmation",
    "message greenlight.ConnectRequest",
    "message greenlight.ConnectResponse",
    "message greenlight.DisconnectRequest",
    "message greenlight.DisconnectResponse",
    "message greenlight.Feerate",
    "message greenlight.FundChannelRequest",
    "message greenlight.FundChannelResponse",
    "message greenlight.GetInfoRequest",
    "message greenlight.GetInfoResponse",
    "message greenlight.Htlc",
    "message greenlight.Invoice",
    "message greenlight.InvoiceIdentifier",
    "message greenlight.InvoiceRequest",
    "message greenlight.KeysendRequest",
    "message greenlight.ListFundsChannel",
    "message greenlight.ListFundsOutput",
    "message greenlight.ListFundsRequest",
    "message greenlight.ListFundsResponse",
    "message greenlight.ListInvoicesRequest",
    "message greenlight.ListInvoicesResponse",
    "message greenlight.ListPaymentsRequest",
    "message greenlight.ListPaymentsResponse",
    "message greenlight.ListPeersRequest",
    "message greenlight.ListPeersResponse",
    "message greenlight.NewAddrRequest",
    "message greenlight.NewAddrResponse",
    "message greenlight.Outpoint",
    "message greenlight.PayRequest",
    "message greenlight.Payment",
    "message greenlight.PaymentIdentifier",
    "message greenlight.Peer",
    "message greenlight.Routehint",
    "message greenlight.RoutehintHop",
    "message greenlight.StopRequest",
    "message greenlight.StopResponse",
    "message greenlight.Timeout",
    "message greenlight.WithdrawRequest",
    "message greenlight.WithdrawResponse",
}


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(compile(DESCRIBE, "<describe>", "exec"), namespace)
    return namespace["describe"]([greenlight_pb2, scheduler_pb2])


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    done = run_peer(DUMP)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def without_the_fields_of(messages: set[str], found: dict[str, Any]) -> dict[str, Any]:
    """`found` less the fields of the listed messages, which are accounted for with the message."""
    prefixes = tuple(
        f"field {name.removeprefix('message ')}." for name in messages if name.startswith("message ")
    )
    return {name: value for name, value in found.items() if not name.startswith(prefixes)}


def test_the_wheel_lacks_exactly_what_is_listed(ours, theirs):
    lacking = without_the_fields_of(LACKING_IN_THE_WHEEL, ours).keys() - theirs.keys()
    assert lacking == LACKING_IN_THE_WHEEL


def test_the_wheel_has_nothing_more_than_the_listed_dead_messages(ours, theirs):
    extra = without_the_fields_of(DEAD_IN_THE_WHEEL, theirs).keys() - ours.keys()
    assert extra == DEAD_IN_THE_WHEEL


def test_nothing_alive_in_the_wheel_refers_to_what_is_listed_as_dead(theirs):
    dead = {name.split(" ")[1] for name in DEAD_IN_THE_WHEEL}
    alive = without_the_fields_of(DEAD_IN_THE_WHEEL, theirs)
    used = {
        value[role]
        for value in alive.values()
        if isinstance(value, dict)
        for role in ("type", "input", "output")
        if role in value
    }
    assert not used & dead


def test_everything_that_both_have_is_the_same(ours, theirs):
    shared = ours.keys() & theirs.keys()
    differing = {name: (ours[name], theirs[name]) for name in shared if ours[name] != theirs[name]}
    assert differing == {}
    assert len([name for name in shared if name.startswith("method ")]) == 26
