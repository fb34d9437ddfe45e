"""`signerd doctor`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from signerd.cli import node_secret, options, output, session
from signerd.errors import SignerdError

if TYPE_CHECKING:
    from signerd.config import Settings
    from signerd.daemon.doctor.finding import Finding, Verdict

_COLOURS = {"pass": "green", "warn": "yellow", "fail": "red", "skip": "blue"}


@click.command()
@click.option("--offline", is_flag=True, help="Leave the network alone.")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a .tar.gz for a bug report as well. It holds nothing secret.",
)
@options.as_json
@options.common
def command(*, offline: bool, bundle: Path | None, json: bool, **common: Any) -> int:
    """Look at everything that signerd needs: files, secret, credentials, store, limits, clock, network.

    Each line passes, warns, fails, or was skipped because of what is above it; what does not pass says what
    to do. Nothing is changed, and it may run beside the daemon. The exit code is that of the first failure,
    0 if there is none.

    \b
    Examples:
      signerd doctor
      signerd doctor --bundle report.tar.gz   # for a bug report
    """
    from signerd.daemon.doctor.finding import exit_code, failed

    settings: Settings | None = None
    try:
        settings = options.settings(common)
    except SignerdError as problem:
        findings = [failed("configuration", problem)]
        _tell(findings[0], json=json)
    else:
        findings = session.run(_examine(settings, offline=offline, json=json))
    if bundle is not None:
        _write(bundle, findings, settings)
    if json:
        from signerd.daemon.doctor.bundle import document

        output.result(document(findings), "", json=True)
    return exit_code(findings)


async def _examine(settings: Settings, *, offline: bool, json: bool) -> list[Finding]:
    from signerd.daemon.doctor import examination
    from signerd.daemon.doctor.finding import passed

    where = settings.config_file or "no file, only defaults"
    findings = [passed("configuration", f"{where}; network {settings.network}")]
    _tell(findings[0], json=json)
    try:
        keys: Any = node_secret.load_keys(settings)
    except SignerdError as problem:
        keys = problem
    async for finding in examination.examine(settings, keys, session.now(), offline=offline):
        findings.append(finding)
        _tell(finding, json=json)
    return findings


def _tell(finding: Finding, *, json: bool) -> None:
    if json:
        return
    verdict = _painted(finding.verdict)
    print(output.plain(f"{finding.check:<20}").join((f"{verdict} ", output.plain(finding.says))), flush=True)
    if finding.hint:
        print(f"     {'':<20}→ {output.plain(finding.hint)}", flush=True)


def _painted(verdict: Verdict) -> str:
    return output.paint(f"{verdict:<4}", _COLOURS[verdict])


def _write(path: Path, findings: list[Finding], settings: Settings | None) -> None:
    import msgspec

    from signerd.daemon.doctor import bundle
    from signerd.store import files
    from signerd.units import UnixTime

    told = {} if settings is None else msgspec.to_builtins(settings, enc_hook=str)
    directory = None if settings is None else settings.data_dir
    content = bundle.build(findings, told, directory, UnixTime(int(time.time())))
    files.write_atomically(path, content, exclusive=True)
    output.talk(f"the report is in {path}; have a look at it before you send it")
