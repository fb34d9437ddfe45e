"""What goes with a bug report: findings, settings, names and modes of files. Nothing secret, nothing read.

Of the files of this node only names, sizes and modes are told. Node ids and addresses are cut short: whoever
reads a report need not know whose it is.
"""

from __future__ import annotations

import gzip
import io
import json
import platform
import re
import stat
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import signerd

if TYPE_CHECKING:
    from signerd.daemon.doctor.finding import Finding
    from signerd.units import UnixTime

VERSION = 1
_LONG_HEX = re.compile(r"\b[0-9a-fA-F]{20,}\b")
_SHOWN = 8


def document(findings: Iterable[Finding]) -> dict[str, Any]:
    """The findings for programs."""
    listed = [
        {"check": item.check, "verdict": str(item.verdict), "says": item.says, "hint": item.hint}
        for item in findings
    ]
    return {"v": VERSION, "findings": listed}


def build(
    findings: Iterable[Finding], settings: Mapping[str, Any], data_dir: Path | None, now: UnixTime
) -> bytes:
    """A tar.gz. Without settings that could be read there is no data directory either."""
    parts: dict[str, Any] = {
        "doctor.json": document(findings),
        "system.json": _system(),
        "settings.json": settings,
        "files.json": [] if data_dir is None else _files(data_dir),
    }
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=now) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for name, part in parts.items():
            content = _shortened(json.dumps(part, indent=1) + "\n").encode()
            entry = tarfile.TarInfo(f"signerd-report/{name}")
            entry.size, entry.mtime, entry.mode = len(content), now, 0o600
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _shortened(text: str) -> str:
    """Long hexadecimal numbers cut: ids, keys, whatever else an error may have quoted."""
    home = str(Path.home())
    text = text.replace(home, "~") if len(home) > 1 else text
    return _LONG_HEX.sub(lambda found: f"{found[0][:_SHOWN]}…", text)


def _system() -> Mapping[str, str]:
    return {
        "signerd": signerd.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
    }


def _files(directory: Path) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    try:
        for path in sorted(directory.iterdir()):
            facts = path.lstat()
            found.append({"name": path.name, "mode": stat.filemode(facts.st_mode), "bytes": facts.st_size})
    except OSError as error:
        found.append({"error": error.strerror})
    return found
