"""The file as a JSON Schema, with the words of the example file, the units of the names, and the limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from signerd.tables.keys import ELEMENT, Key, keys
from signerd.tables.values import Limits

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_UNITS = ("seconds", "bytes", "msat", "sat", "days", "blocks")
_HEADER = re.compile(r"#?\[{1,2}(?P<name>[A-Za-z0-9_.]+)\]{1,2}$")
_SETTING = re.compile(r"#?(?P<name>[A-Za-z0-9_]+) *=")


def schema(root: type[msgspec.Struct], limits: Limits, example: str, *, title: str) -> dict[str, Any]:
    """A schema for the file that these structs describe."""
    words = descriptions(example)
    made = msgspec.json.schema(root)
    known = keys(root, inside_lists=True)
    defs: dict[str, Any] = made.get("$defs", {})

    def table(node: dict[str, Any], prefix: str) -> dict[str, Any]:
        struct = defs[node["$ref"].rpartition("/")[2]]
        properties = {
            name: one(inner, f"{prefix}{name}") for name, inner in struct.get("properties", {}).items()
        }
        return {
            "type": "object",
            **({"description": words[prefix.rstrip(".")]} if prefix.rstrip(".") in words else {}),
            "properties": properties,
            **({"required": struct["required"]} if struct.get("required") else {}),
            "additionalProperties": False,
        }

    def one(node: dict[str, Any], name: str) -> dict[str, Any]:
        node = _something(node)
        if "$ref" in node:
            return table(node, f"{name}.")
        key = known[name]
        if key.elements is not None:
            inner = {**node, "items": table(node["items"], f"{name}{ELEMENT}.")}
        else:
            inner = node
        return _dressed(inner, key, words, limits)

    return {"$schema": DIALECT, "title": title, **table(made, "")}


def descriptions(example: str) -> dict[str, str]:
    """The prose of the example file above each key and table; neighbours in one paragraph share it."""
    found: dict[str, str] = {}
    prose: list[str] = []
    spent = False
    prefix = ""
    for line in example.splitlines():
        if not line.strip():
            prose = []
        elif header := _HEADER.match(line):
            name = header["name"]
            if prose and not spent:
                found[name] = _joined(prose)
            prefix = f"{name}{ELEMENT}." if "[[" in line else f"{name}."
            prose = []
        elif setting := _SETTING.match(line):
            if prose:
                found[prefix + setting["name"]] = _joined(prose)
            spent = True
        elif line.startswith("# "):
            prose = [*([] if spent else prose), line[2:].strip()]
            spent = False
    return found


def _joined(prose: list[str]) -> str:
    return " ".join(prose)


def _something(node: dict[str, Any]) -> dict[str, Any]:
    """A type without "or nothing": TOML has no word for nothing, the key is left out."""
    if "anyOf" not in node:
        return node
    rest = [inner for inner in node["anyOf"] if inner.get("type") != "null"]
    kept = {name: value for name, value in node.items() if name != "anyOf"}
    return {**kept, **rest[0]} if len(rest) == 1 else {**kept, "anyOf": rest}


def _dressed(node: dict[str, Any], key: Key, words: Mapping[str, str], limits: Limits) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if key.name in words:
        result["description"] = words[key.name]
    result |= {name: value for name, value in node.items() if name != "default" or value is not None}
    if key.name in limits:
        result["minimum"], result["maximum"] = limits[key.name]
    if unit := next((unit for unit in _UNITS if key.name.endswith(f"_{unit}")), None):
        result["x-unit"] = unit
    return result
