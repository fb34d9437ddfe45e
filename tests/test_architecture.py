"""Who may import whom, and what the core may not touch; read from the syntax tree, nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Package or module of signerd → those that it may import, beside itself.
MAY_IMPORT = {
    "errors": set(),
    "units": {"errors"},
    "addresses": {"errors"},
    "core": {"errors", "units"},
    "places": {"errors"},
    "tables": {"errors", "units"},
    "config_keys": {"errors", "units", "core", "tables"},
    "config": {"errors", "units", "addresses", "config_keys", "core", "places", "tables"},
    "config_change": {"errors"},
    "greenlight": {"errors", "units", "core"},
    "store": {"errors", "units", "core"},
    "observe": {"errors", "units", "core"},
    "control": {"errors", "units", "core", "store", "observe", "config_change"},
    "daemon": {
        "errors",
        "units",
        "addresses",
        "core",
        "config",
        "config_change",
        "tables",
        "greenlight",
        "store",
        "observe",
        "control",
    },
    "dev": {"errors", "units", "core", "greenlight"},
    "cli": {
        "errors",
        "units",
        "core",
        "config",
        "config_change",
        "tables",
        "greenlight",
        "store",
        "observe",
        "control",
        "daemon",
        "dev",
    },
    "__main__": {"cli"},
}

# Inside core, each package may use those before it; files beside the packages are ranked with them.
CORE_ORDER = ("keys", "tx", "runes", "wire", "state", "policy", "audit", "explain", "handlers", "signer")
# Files beside the packages that packages may use, and the first package that may.
CORE_COMMON = {"requests": "state", "startup": "handlers"}

# A list of what is allowed, not of what is forbidden: nothing here does I/O. `datetime` is not in it, because
# it can read the clock; the one file that needs its calendar may not call that.
CORE_USES = {
    "__future__", "abc", "base64", "binascii", "bisect", "coincurve", "collections", "cryptography",
    "dataclasses", "embit", "enum", "functools", "hashlib", "hmac", "itertools", "json", "math", "nacl",
    "operator", "re", "signerd", "string", "struct", "types", "typing", "unicodedata", "warnings",
}  # fmt: skip
CORE_EXCEPTIONS = {
    "signerd.core.certificates": {"datetime"},
    # A second thread does half of a long calculation.
    "signerd.core.keys.helper": {"concurrent"},
    "signerd.core.restore_guide": {"shlex"},
    "signerd.core.state.codec": {"msgspec"},
    "signerd.core.state.entries": {"msgspec"},
}
CORE_BUILTINS_NEVER = {"open", "print", "input", "exec", "eval", "compile", "breakpoint", "__import__"}
CORE_METHODS_NEVER = {
    "now", "utcnow", "today", "generate_private_key", "generate_key", "urandom",
    "read_text", "read_bytes", "write_text", "write_bytes",
}  # fmt: skip

# A judge does not share the accused's reasoning: also not by way of another module.
DEV_NEVER = {"signerd.core.signer", "signerd.core.pairing", "signerd.core.handlers", "signerd.core.policy"}

# Library → the only places that may import it.
ONLY_IN = {
    "grpc": ("signerd.greenlight", "signerd.control", "signerd.dev"),
    "coincurve": ("signerd.core.keys.secp256k1",),
    "embit": ("signerd.core", "signerd.daemon.preflight"),
    "nacl": ("signerd.core.sealed_secret",),
    "click": ("signerd.cli",),
    "rich": ("signerd.cli",),
    "segno": ("signerd.cli",),
    "structlog": ("signerd.observe",),
    "sqlite3": ("signerd.store", "signerd.dev"),
    "msgspec": (
        "signerd.config",
        "signerd.config_keys",
        "signerd.tables",
        "signerd.cli",
        "signerd.core.state",
    ),
}

# Files are written by the store, by the local Greenlight, and by the demo into a directory of its own.
WRITERS = ("signerd.store", "signerd.dev", "signerd.cli.demo")
WRITES = {
    "write_text",
    "write_bytes",
    "mkdir",
    "makedirs",
    "touch",
    "unlink",
    "rename",
    "rmdir",
    "symlink_to",
}


@dataclass(frozen=True)
class Import:
    """One module that another imports. `target` is a module of ours in full, or a library's first name."""

    target: str
    line: int


def imports(tree: ast.Module, known: frozenset[str]) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(_shorten(alias.name), node.lineno)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield Import(inner if inner in known else _shorten(node.module or ""), node.lineno)


def _shorten(name: str) -> str:
    return name if name.partition(".")[0] == "signerd" else name.partition(".")[0]


def within(module: str, places: tuple[str, ...] | set[str]) -> bool:
    return any(module == place or module.startswith(place + ".") for place in places)


def unit(module: str) -> str:
    """The part of signerd that a module belongs to; empty for signerd itself, which holds the version."""
    return module.split(".")[1] if "." in module else ""


def part(module: str) -> str:
    """The part of the core that a module belongs to; empty for the core itself."""
    return module.split(".")[2] if module.count(".") > 1 else ""


def violations(sources: Mapping[str, str]) -> list[str]:
    """What breaks the rules in a tree: module name → source text."""
    trees = {module: ast.parse(text) for module, text in sources.items()}
    known = frozenset(sources)
    uses = {module: list(imports(tree, known)) for module, tree in trees.items()}
    found = []
    for module, tree in trees.items():
        found += [f"{module}:{line}: {problem}" for line, problem in _problems(module, tree, uses[module])]
    for module, targets in uses.items():
        if unit(module) == "dev":
            reached = _reached([item.target for item in targets], uses)
            found += [f"{module}: shares {bad}" for bad in sorted(reached) if within(bad, DEV_NEVER)]
    return found


def _problems(module: str, tree: ast.Module, used: list[Import]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "relative import"
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            yield node.lineno, "star import"
    for item in used:
        if not _may_import(module, item.target):
            yield item.line, f"imports {item.target}"
    if not within(module, WRITERS):
        for line, name, _ in _calls(tree):
            if name in WRITES:
                yield line, f"writes a file: {name}"
    if unit(module) == "core":
        yield from _core_problems(tree)


def _may_import(module: str, target: str) -> bool:
    if target in ONLY_IN and not within(module, ONLY_IN[target]):
        return False
    if unit(module) == "core":
        if target.partition(".")[0] not in CORE_USES | CORE_EXCEPTIONS.get(module, set()):
            return False
        if unit(target) == "core":
            return _in_order(part(module), part(target))
    ours, theirs = unit(module), unit(target)
    return not ours or not theirs or ours == theirs or theirs in MAY_IMPORT[ours]


def _core_problems(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for line, name, is_method in _calls(tree):
        if name in (CORE_METHODS_NEVER if is_method else CORE_BUILTINS_NEVER):
            yield line, f"calls {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield node.lineno, "is asynchronous"


def _in_order(ours: str, theirs: str) -> bool:
    if ours == theirs or not ours:
        return True
    if ours not in CORE_ORDER:  # a file beside the packages may use them, but not what answers a node
        return theirs not in {"handlers", "signer"}
    if theirs in CORE_COMMON:
        return CORE_ORDER.index(ours) >= CORE_ORDER.index(CORE_COMMON[theirs])
    return theirs in CORE_ORDER and CORE_ORDER.index(theirs) < CORE_ORDER.index(ours)


def _calls(tree: ast.Module) -> Iterator[tuple[int, str, bool]]:
    """Line, name, and whether it is called on something."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.lineno, node.func.id, False
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.lineno, node.func.attr, True


def _reached(start: list[str], uses: Mapping[str, list[Import]]) -> set[str]:
    """Every module that follows from importing these."""
    reached: set[str] = set()
    waiting = list(start)
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += [item.target for item in uses.get(module, [])]
    return reached


def tree_of_signerd() -> dict[str, str]:
    sources = {}
    for path in (ROOT / "signerd").rglob("*.py"):
        if "pb" in path.parts:
            continue
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        sources[name.removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return sources


# The tree


def test_signerd_keeps_its_own_rules():
    assert violations(tree_of_signerd()) == []


def test_every_part_of_signerd_has_its_rule():
    parts = {unit(module) for module in tree_of_signerd()} - {""}
    assert parts == set(MAY_IMPORT)


def test_every_package_of_the_core_has_its_rank():
    packages = {
        path.name for path in (ROOT / "signerd" / "core").iterdir() if (path / "__init__.py").exists()
    }
    assert packages <= set(CORE_ORDER)


def test_no_module_imports_itself_by_a_detour():
    sources = tree_of_signerd()
    known = frozenset(sources)
    graph = {
        module: {item.target for item in imports(_running(ast.parse(text)), known) if item.target in known}
        for module, text in sources.items()
    }
    circles = [
        module
        for module, targets in graph.items()
        if module
        in _reached(list(targets - {module}), {m: [Import(t, 0) for t in ts] for m, ts in graph.items()})
    ]
    assert circles == []


def _running(tree: ast.Module) -> ast.Module:
    """What runs when a module is imported: no function's body, nothing for the type checker alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _is_for_types(node):
            node.body = [ast.Pass()]
    return tree


def _is_for_types(node: ast.AST) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def test_commands_load_other_parts_only_when_they_run():
    """`signerd --help` and the offline commands stay free of network libraries."""
    sources = tree_of_signerd()
    known = frozenset(sources)
    light = {"errors", "units", "cli"}
    eager = [
        f"{module}: {item.target}"
        for module, text in sources.items()
        if unit(module) == "cli"
        for item in imports(_running(ast.parse(text)), known)
        if item.target in {"grpc", "google", "cryptography", "msgspec", "rich", "segno"}
        or (item.target.startswith("signerd.") and unit(item.target) not in light)
    ]
    assert eager == []


def test_no_file_outgrows_its_question():
    long = {name: text.count("\n") for name, text in tree_of_signerd().items() if text.count("\n") > 400}
    assert long == {}


def test_every_file_says_in_its_first_line_what_it_answers():
    untitled = [
        name for name, text in tree_of_signerd().items() if text and not ast.get_docstring(ast.parse(text))
    ]
    assert untitled == []


# The rules, on small trees that break them

GOOD = {
    "signerd": '__version__ = "1"',
    "signerd.errors": "import enum",
    "signerd.units": "from signerd.errors import ConfigError",
    "signerd.places": "from signerd.errors import ConfigError",
    "signerd.tables": "import msgspec",
    "signerd.config": "import msgspec\nfrom signerd.core import startup\nfrom signerd import places, tables",
    "signerd.core": "",
    "signerd.core.keys": "",
    "signerd.core.keys.secp256k1": "import coincurve",
    "signerd.core.tx": "",
    "signerd.core.runes": "from signerd.core import keys",
    "signerd.core.wire": "import struct",
    "signerd.core.policy": "from signerd.core import requests, wire",
    "signerd.core.handlers": "from signerd.core import startup, policy",
    "signerd.core.requests": "from dataclasses import dataclass",
    "signerd.core.startup": "from signerd.core.wire import codec",
    "signerd.core.certificates": "import datetime",
    "signerd.core.signer": "from signerd.core import handlers, requests",
    "signerd.core.pairing": "from signerd.core import runes",
    "signerd.core.device_pairing": "from signerd.core import pairing",
    "signerd.greenlight": "import grpc.aio\nfrom signerd.core import startup",
    "signerd.store": "import sqlite3\nfrom signerd.core import keys",
    "signerd.store.files": "path.mkdir()",
    "signerd.observe": "import structlog",
    "signerd.daemon": "import signerd\nfrom signerd import greenlight, store, observe, config",
    "signerd.dev": "import grpc\nfrom signerd.core import wire, runes\nfrom signerd import greenlight",
    "signerd.cli": "import click\nfrom signerd import daemon, dev, config, greenlight",
    "signerd.__main__": "from signerd.cli import main",
}


def test_accepts_a_tree_that_keeps_the_rules():
    assert violations(GOOD) == []


@pytest.mark.parametrize(
    ("module", "line", "problem"),
    [
        ("signerd.errors", "from signerd import units", "imports signerd.units"),
        ("signerd.units", "from signerd.core.keys import node", "imports signerd.core.keys"),
        ("signerd.core.wire", "from signerd import store", "imports signerd.store"),
        ("signerd.core.wire", "from signerd.store import state", "imports signerd.store"),
        ("signerd.core.wire", "import signerd.store.files", "imports signerd.store.files"),
        ("signerd.core.wire", "from signerd import config", "imports signerd.config"),
        ("signerd.core.keys", "from signerd.core import runes", "imports signerd.core.runes"),
        ("signerd.core.tx", "from signerd.core.policy import rules", "imports signerd.core.policy"),
        ("signerd.core.wire", "from signerd.core import handlers", "imports signerd.core.handlers"),
        ("signerd.core.wire", "from signerd.core import requests", "imports signerd.core.requests"),
        ("signerd.core.policy", "from signerd.core import startup", "imports signerd.core.startup"),
        ("signerd.core.runes", "from signerd.core import pairing", "imports signerd.core.pairing"),
        ("signerd.core.handlers", "from signerd.core import signer", "imports signerd.core.signer"),
        ("signerd.core.pairing", "from signerd.core import signer", "imports signerd.core.signer"),
        ("signerd.core.wire", "import os", "imports os"),
        ("signerd.core.wire", "import os.path", "imports os"),
        ("signerd.core.wire", "from pathlib import Path", "imports pathlib"),
        ("signerd.core.wire", "from datetime import datetime", "imports datetime"),
        ("signerd.core.wire", "def f():\n    import time", "imports time"),
        ("signerd.core.wire", "if TYPE_CHECKING:\n    import socket", "imports socket"),
        ("signerd.core.certificates", "moment = datetime.datetime.now()", "calls now"),
        ("signerd.core.certificates", "day = datetime.date.today()", "calls today"),
        ("signerd.core.keys", "key = ec.generate_private_key(curve)", "calls generate_private_key"),
        ("signerd.core.keys", "open('/etc/passwd')", "calls open"),
        ("signerd.core.keys", "print(1)", "calls print"),
        ("signerd.core.keys", "__import__('os')", "calls __import__"),
        ("signerd.core.signer", "async def f(): ...", "is asynchronous"),
        ("signerd.core.keys", "import coincurve", "imports coincurve"),
        ("signerd.core.wire", "import grpc", "imports grpc"),
        ("signerd.greenlight", "from signerd.store import files", "imports signerd.store.files"),
        ("signerd.greenlight", "from signerd import observe", "imports signerd.observe"),
        ("signerd.greenlight", "from signerd import config", "imports signerd.config"),
        ("signerd.greenlight", "path.write_bytes(b'')", "writes a file: write_bytes"),
        ("signerd.store", "from signerd import greenlight", "imports signerd.greenlight"),
        ("signerd.observe", "from signerd import store", "imports signerd.store"),
        ("signerd.daemon", "import grpc", "imports grpc"),
        ("signerd.daemon", "from signerd import dev", "imports signerd.dev"),
        ("signerd.daemon", "from signerd import cli", "imports signerd.cli"),
        ("signerd.daemon", "import click", "imports click"),
        ("signerd.cli", "import grpc", "imports grpc"),
        ("signerd.cli", "import sqlite3", "imports sqlite3"),
        ("signerd.cli", "path.write_text('')", "writes a file: write_text"),
        ("signerd.dev", "from signerd.core import handlers", "shares signerd.core.handlers"),
        ("signerd.dev", "from signerd.core.handlers import session", "shares signerd.core.handlers"),
        ("signerd.dev", "import signerd.core.signer", "shares signerd.core.signer"),
        ("signerd.dev", "from signerd.core import device_pairing", "shares signerd.core.pairing"),
        ("signerd.dev", "from signerd import store", "imports signerd.store"),
        ("signerd.dev", "from signerd import daemon", "imports signerd.daemon"),
        ("signerd.store", "from . import files", "relative import"),
        ("signerd.store", "from ..core import keys", "relative import"),
        ("signerd.store", "from signerd.units import *", "star import"),
    ],
)
def test_catches(module, line, problem):
    broken = GOOD | {module: GOOD[module] + "\n" + line}

    found = [text.partition(": ")[2] for text in violations(broken) if text.startswith(module)]
    assert problem in found
