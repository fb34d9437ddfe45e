"""The alert rules and the Grafana board ask for metrics and labels that a running signerd has."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.made_events import made
from prometheus_client.parser import text_string_to_metric_families

from signerd.core.pairing import PairingRule
from signerd.daemon.signing_service import BUG_RULE
from signerd.observe import events, exposition, process
from signerd.observe.metrics import NODE, SCHEDULER, Gauges, Metrics
from signerd.observe.probes import Verdict

ROOT = Path(__file__).resolve().parent.parent
ALERTS = ROOT / "monitoring" / "alerts.yml"
BOARD = ROOT / "monitoring" / "grafana.json"

# What Prometheus adds to everything that it scrapes.
SCRAPED = {"job", "instance"}
FUNCTIONS = {
    "absent", "and", "by", "changes", "h", "histogram_quantile", "increase", "label_values", "m", "offset",
    "on", "or", "rate", "sum", "time", "unless",
}  # fmt: skip


def page(state: str = "ready") -> str:
    """The page of a daemon that has met everything once, and is in this state."""
    metrics = Metrics()
    for event in (
        made(events.Started),
        made(events.RequestAnswered, message="sign_invoice (type 8)"),
        made(events.RequestRefused, message="sign_message (type 23)", rule=BUG_RULE),
        made(events.SchedulerCallFailed, call="GetNodeInfo"),
        made(events.Garbage, source="node"),
        made(events.PairingRefused, rule=str(PairingRule.REPLAYED)),
    ):
        metrics.hear(event, 1_700_000_000.0)
    ready = Verdict(started=True, live=True, ready=True, state=state, reason="")
    gauges = Gauges(verdict=ready, certificate_expiry=1)
    return exposition.render([*metrics.families(), *gauges.families(), *process.families()])


def exported() -> dict[str, dict[str, set[str]]]:
    """Every name of a sample → its labels → their values."""
    found: dict[str, dict[str, set[str]]] = {"up": {}}
    pages = (page(state) for state in ("ready", "node-not-scheduled"))
    for family in itertools.chain.from_iterable(map(text_string_to_metric_families, pages)):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


EXPORTED = exported()


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def board() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(BOARD.read_text(encoding="utf-8"))
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Where, and what is asked for."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in board()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in board()["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"]


def problems(expression: str) -> Iterator[str]:
    """What an expression asks for and nobody has."""
    bare = re.sub(r'"[^"]*"|\[[^]]*\]', "", expression)
    selected = {name for name, _ in re.findall(r"([a-z_]+)(\{[^}]*\})", expression)}
    outside = re.sub(r"\{[^}]*\}|\b(by|on) \([^)]*\)", "", bare)
    names = (selected | set(re.findall(r"[a-z_]+", outside))) - FUNCTIONS
    if expression.startswith("label_values("):
        names -= {"instance"}
    yield from (f"no metric {name}" for name in names - set(EXPORTED))
    for name, selector in re.findall(r"([a-z_]+)\{([^}]*)\}", expression):
        for label, operator, value in re.findall(r'(\w+)(=~|=|!=|!~)"([^"]*)"', selector):
            has = EXPORTED.get(name, {})
            if label not in SCRAPED and label not in has:
                yield f"{name} has no label {label}"
            elif operator == "=" and label not in SCRAPED and value not in has[label]:
                yield f"{name} has no {label} {value}"
    of_any = SCRAPED | {label for name in names for label in EXPORTED.get(name, {})}
    for grouped in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        yield from (f"no label {label}" for label in grouped.split(", ") if label not in of_any)


@pytest.mark.parametrize(("where", "expression"), list(expressions()), ids=lambda value: value[:50])
def test_everything_that_is_asked_for_exists(where, expression):
    assert list(problems(expression)) == []


@pytest.mark.parametrize(
    "expression",
    [
        "signerd_redy == 0",
        'signerd_stream_up{strem="node"}',
        'signerd_stream_up{stream="nodes"}',
        "sum by (ruel) (signerd_requests_total)",
        "rate(signerd_request_seconds[5m])",
        "signerd_requests",
    ],
)
def test_a_name_that_does_not_exist_would_be_noticed(expression):
    assert list(problems(expression))


def test_text_of_alerts_names_labels_that_the_alert_has():
    for rule in rules():
        text = " ".join(rule["annotations"].values())
        grouped = re.search(r"^sum by \(([^)]*)\)", rule["expr"])
        names = re.findall(r"[a-z_]+(?=[{\[ ])", rule["expr"])
        has = SCRAPED | {label for name in names for label in EXPORTED.get(name, {})}
        if grouped:
            has = set(grouped[1].split(", "))
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= has, rule["alert"]


def test_every_alert_says_how_bad_it_is_and_what_to_do():
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert set(rule["annotations"]) == {"summary", "description"}
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
    assert len({rule["alert"] for rule in rules()}) == len(rules())


def test_there_is_an_alert_for_everything_that_an_operator_must_know():
    names = {rule["alert"].removeprefix("Signerd") for rule in rules()}

    assert {
        "Down", "Detached", "Refusing", "CertificateExpires", "StoreFailing", "NoSignature", "PairingWaiting",
        "Restarts", "NotReady",
    } <= names  # fmt: skip


def test_every_alert_is_explained_in_the_documentation():
    text = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| `(Signerd\w+)` \|", text, re.MULTILINE)

    assert shown == [rule["alert"] for rule in rules()]


def test_every_metric_is_explained_in_the_documentation():
    text = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    section = text.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    shown = re.findall(r"^\| `([a-z_]+)(?:\{([a-z_, ]+)\})?` \| (\w+) \|", section, re.MULTILINE)
    families = re.findall(r"^# TYPE (\S+) (\w+)$", page(), re.MULTILINE)

    assert [(name, kind) for name, _, kind in shown] == families
    for name, labels, kind in shown:
        sample = f"{name}_sum" if kind == "histogram" else name
        assert set(filter(None, labels.split(", "))) == set(EXPORTED[sample]), name


def test_the_board_has_every_metric_of_ours_that_changes():
    asked = " ".join(expression for _, expression in expressions())
    ours = {f.name for f in text_string_to_metric_families(page()) if f.name.startswith("signerd_")}

    assert {name for name in ours if name not in asked} <= {
        "signerd_live", "signerd_log_lines_folded", "signerd_last_request_timestamp_seconds",
        "signerd_node_info",
    }  # fmt: skip


def test_the_board_is_one_that_grafana_imports():
    panels = board()["panels"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert board()["title"] == "signerd"
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}"


def test_streams_have_the_names_that_the_rules_know():
    assert EXPORTED["signerd_stream_up"]["stream"] == {SCHEDULER, NODE}


@pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool here")
def test_prometheus_own_tool_agrees():
    for arguments in (["check", "rules", ALERTS], ["test", "rules", ALERTS.with_name("alerts_test.yml")]):
        done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=page(), capture_output=True, text=True, check=False
    )
    assert done.stdout + done.stderr == ""


def test_both_files_are_in_the_source_distribution():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert "/monitoring" in project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
