"""From events to numbers. Every label has few values: what comes from outside is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from signerd.observe import board, events
from signerd.observe.event import Event
from signerd.observe.exposition import Family, Histogram, Labels, Samples
from signerd.observe.probes import Verdict

MOST_SERIES = 1000
"""Of one metric. Rules times messages are fewer; past it, all the labels are `other`."""

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Most answers take a few milliseconds, an fsync among them; past a second, somebody waits for a payment."""

SCHEDULER, NODE = "scheduler", "node"

BUILD = Family("signerd_build_info", "gauge", "Always 1; which signerd this is.", ("version",))
NODE_INFO = Family(
    "signerd_node_info",
    "gauge",
    "Always 1; which node this signer is of, and the version that it announces.",
    ("node_id", "network", "signer_version"),
)
REQUESTS = Family(
    "signerd_requests_total",
    "counter",
    "Requests of the node, by the message, what became of it, and the rule that refused it.",
    ("type", "outcome", "rule"),
)
SECONDS = Family(
    "signerd_request_seconds",
    "histogram",
    "From the arrival of a request to the departure of its answer, by the message.",
    ("type",),
)
LAST_REQUEST = Family(
    "signerd_last_request_timestamp_seconds", "gauge", "When a request was last answered or refused."
)
LAST_SIGNATURE = Family(
    "signerd_last_signature_timestamp_seconds", "gauge", "When a request for a signature was last answered."
)
STREAM_UP = Family(
    "signerd_stream_up", "gauge", "Whether the scheduler's or the node's request stream is open.", ("stream",)
)
RECONNECTS = Family(
    "signerd_reconnects_total",
    "counter",
    "Streams that were opened again, after the first time.",
    ("stream",),
)
CALL_FAILURES = Family(
    "signerd_call_failures_total",
    "counter",
    "Calls of the scheduler that failed and are tried again.",
    ("call",),
)
GARBAGE = Family("signerd_garbage_total", "counter", "Messages that were no protobuf.", ("source",))
PAIRING = Family(
    "signerd_pairing_total",
    "counter",
    "Pairing approvals, by what became of them, and the rule that refused them.",
    ("outcome", "rule"),
)
PAIRING_WAITING = Family(
    "signerd_pairing_waiting", "gauge", "Pairing approvals that wait for a person to decide."
)
CERTIFICATE_EXPIRY = Family(
    "signerd_certificate_expiry_timestamp_seconds", "gauge", "When the device certificate ends."
)
EVENTS = Family("signerd_events_total", "counter", "Events, shown in the log or not.", ("event", "level"))

STORE_FAILING = Family("signerd_store_failing", "gauge", "Whether the store cannot be written.")
LIVE = Family("signerd_live", "gauge", "What /livez says.")
READY = Family("signerd_ready", "gauge", "What /readyz says: whether it can sign now.")
STATE = Family("signerd_state_info", "gauge", "Always 1; the state, in the word of /readyz.", ("state",))
FOLDED = Family("signerd_log_lines_folded_total", "counter", "Log lines left out because they repeated.")
LOST = Family("signerd_log_lines_lost_total", "counter", "Log lines that nobody took.")

_COUNTED = (
    BUILD, NODE_INFO, REQUESTS, SECONDS, LAST_REQUEST, LAST_SIGNATURE, STREAM_UP, RECONNECTS, CALL_FAILURES,
    GARBAGE, PAIRING, EVENTS,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """What is asked for when somebody looks, because no event tells it."""

    verdict: Verdict
    certificate_expiry: int
    pairing_waiting: int = 0
    folded: int = 0
    lost: int = 0

    def families(self) -> Iterator[tuple[Family, Samples]]:
        """As samples."""
        yield CERTIFICATE_EXPIRY, {(): self.certificate_expiry}
        yield PAIRING_WAITING, {(): self.pairing_waiting}
        yield STORE_FAILING, {(): float(self.verdict.state == "store-failing")}
        yield LIVE, {(): float(self.verdict.live)}
        yield READY, {(): float(self.verdict.ready)}
        yield STATE, {(self.verdict.state,): 1}
        yield FOLDED, {(): self.folded}
        yield LOST, {(): self.lost}


@dataclass(slots=True)
class Metrics:
    """Adds events up. Hears every event, also those that the log does not show."""

    _values: dict[Family, dict[Labels, float]] = field(default_factory=lambda: {f: {} for f in _COUNTED})
    _seconds: dict[Labels, float | Histogram] = field(default_factory=dict)
    _opened: set[str] = field(default_factory=set)
    _untaken: bool = False
    """The node refuses answers. Ours are told while they travel: one that is refused is no signature."""

    def __post_init__(self) -> None:
        # Those that alerts are made of are there from the start: a rate needs a zero to begin at.
        for stream in (SCHEDULER, NODE):
            self._set(STREAM_UP, 0, stream)
            self._add(RECONNECTS, stream, by=0)
        for outcome in ("approved", "refused"):
            self._add(PAIRING, outcome, "", by=0)

    def hear(self, event: Event, now: float) -> None:
        """One event more, at this Unix time."""
        self._add(EVENTS, event.NAME, event.LEVEL)
        match event:
            case events.RequestAnswered():
                self._answered(type_of(event.message), event.ms / 1000, now)
            case events.RequestRefused(rule=board.ANOTHER_WAS_QUICKER):
                self._request(type_of(event.message), "not-taken", "", now)
            case events.AnswersTaken():
                self._untaken = False
                self._signed(type_of(event.message), now)
            case events.RequestRefused():
                self._untaken |= event.rule == board.ANSWER_REFUSED
                self._request(type_of(event.message), "refused", event.rule, now)
            case events.PairingApproved():
                self._add(PAIRING, "approved", "")
            case events.PairingRefused():
                self._add(PAIRING, "refused", event.rule)
            case events.Started():
                self._set(BUILD, 1, event.version)
                self._set(NODE_INFO, 1, event.node_id, event.network, event.signer_version)
            case _:
                self._connection(event)

    def _connection(self, event: Event) -> None:
        match event:
            case events.SchedulerStreamOpen():
                self._up(SCHEDULER)
            case events.SchedulerStreamEnded():
                self._set(STREAM_UP, 0, SCHEDULER)
            case events.NodeAttached():
                self._untaken = False
                self._up(NODE)
            case events.NodeDetached():
                self._set(STREAM_UP, 0, NODE)
            case events.SchedulerCallFailed():
                self._add(CALL_FAILURES, event.call)
            case events.Garbage():
                self._add(GARBAGE, event.source)
            case _:
                pass

    def families(self) -> Iterator[tuple[Family, Samples]]:
        """Everything so far."""
        for family in _COUNTED:
            yield family, self._seconds if family is SECONDS else self._values[family]

    def _request(self, message: str, outcome: str, rule: str, now: float) -> None:
        self._add(REQUESTS, message, outcome, rule)
        self._set(LAST_REQUEST, now)

    def _answered(self, message: str, seconds: float, now: float) -> None:
        self._request(message, "answered", "", now)
        if not self._untaken:
            self._signed(message, now)
        histogram = self._seconds.get((message,))
        if not isinstance(histogram, Histogram):
            histogram = self._seconds[message,] = Histogram(BUCKETS)
        histogram.add(seconds)

    def _signed(self, message: str, now: float) -> None:
        if is_signature(message):
            self._set(LAST_SIGNATURE, now)

    def _up(self, stream: str) -> None:
        if stream in self._opened:
            self._add(RECONNECTS, stream)
        self._opened.add(stream)
        self._set(STREAM_UP, 1, stream)

    def _set(self, family: Family, value: float, *labels: str) -> None:
        self._values[family][labels] = value

    def _add(self, family: Family, *labels: str, by: int = 1) -> None:
        values = self._values[family]
        if labels not in values and len(values) >= MOST_SERIES:
            labels = ("other",) * len(labels)
        values[labels] = values.get(labels, 0) + by


def type_of(message: str) -> str:
    """The name of a message without its number; `unknown`, where it has no name."""
    name, _, number = message.partition(" (type ")
    return name if number else "unknown"


def is_signature(message: str) -> bool:
    """Whether the answer to it is a signature (and no secret, point or verdict)."""
    return "sign" in message or message.endswith("_sig_req")
