"""`signerd export`: take the node home, from the question to the file that says how to go on.

Every step leaves something on disk from which the next run goes on: the record (asked, exported, taken home),
the download and its notes, the plaintext, the RESTORE file. Each appears whole; nothing is done twice.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from signerd.cli import node_secret, options, output, progress, session
from signerd.cli.export_place import Place
from signerd.errors import (
    AccessDenied,
    AlreadyExists,
    BackupError,
    Interrupted,
    Refused,
    Rejected,
    Unavailable,
)

if TYPE_CHECKING:
    from signerd.cli.session import Device
    from signerd.config import Settings
    from signerd.core.keys.node import NodeKeys
    from signerd.store.export_file import Decrypted
    from signerd.store.export_record import ExportRecord, TakenHome
    from signerd.store.partial_download import PartialDownload

EXPORT_SECONDS = 900.0
"""The host makes the backup before it answers; that may take minutes."""

_OUTRIGHT = {
    "NOT_FOUND", "UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "INVALID_ARGUMENT", "OUT_OF_RANGE"
}  # fmt: skip
"""What a host answers that has done nothing. Not what a node draws that left already: that the export exists,
or that the node is in no state for it."""

_UNKNOWN = (
    "the host may have exported the node all the same, for this request or an earlier one: ask it. Until "
    "then `signerd run` warns, and signs; if the node left, stop it; if not, remove {name} from the data "
    "directory"
)
_WORDS = """\
You are about to take node {node} home. What becomes of it:

  * The host stops the node for good, makes a backup of it, and never runs it again. There is no way back.
  * Its channels stay open, with the money in them. Until you run the node yourself it is offline: it sends,
    receives and forwards nothing. Payments that are under way may end its channels, if that takes days.
  * Only one place may ever run it, from this backup, imported once. A second copy, or an older state, can
    lose everything in its channels.
  * `signerd run` does not sign for it any more, and paired devices and webhooks end with the host's node.
  * Only the node secret opens the backup{secret}.

Have a machine ready with bitcoind, PostgreSQL and Core Lightning {version} or newer.
"""
_AGAIN = """\
The backup of node {node} was taken home on {date}, to {file}.
If it was ever imported, importing it a second time can lose everything in the node's channels.
Go on only if it was lost before it was imported anywhere.
"""


@click.command()
@click.option(
    "-o",
    "--output",
    "place",
    metavar="DIR|FILE",
    help="Where the backup goes.  [default: here, or where an earlier run began]",
)
@click.option("--link", is_flag=True, help="Print where the encrypted backup is, and download nothing.")
@click.option("--again", is_flag=True, help="Fetch it once more: it was lost, and never imported.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.as_json
@options.common
def command(*, place: str | None, link: bool, again: bool, yes: bool, json: bool, **common: Any) -> None:
    """Take the node home: have the host export it, download the backup, decrypt it, and say how to go on.

    This cannot be undone: the host never runs the node again. It may be interrupted anywhere: run it again,
    and it goes on where it was. FILE is the decrypted backup; FILE.enc, the encrypted one, and
    FILE.RESTORE.md, the next steps, are beside it. Nothing that is there already is overwritten.

    \b
    Examples:
      signerd export -o /srv/backup
      signerd export --yes --json
      signerd export --link             for a download by other means, and `signerd decrypt-export`
    """
    from signerd.store import export_record, files

    settings = options.settings(common)
    keys = None if link and not settings.secret_file.exists() else node_secret.load_keys(settings)
    device = session.device(settings, keys)
    data_dir = settings.data_dir
    with files.lock_directory(data_dir, export_record.LOCK_NAME, doing="exporting the node"), _resumable():
        journey = _Journey(settings, device, export_record.read(data_dir, device.node_id))
        if link or keys is None:
            journey.link(yes=yes, json=json)
        else:
            journey.home(keys, place, again=again, yes=yes, json=json)


@contextlib.contextmanager
def _resumable() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        hint = "run `signerd export` again: it goes on where it was"
        raise Interrupted("interrupted", hint=hint) from None


@dataclass(slots=True)
class _Journey:
    settings: Settings
    device: Device
    record: ExportRecord | None
    say: Callable[[str], None] = output.talk
    unasked: bool = False
    """The host was never asked, as far as this data directory knows: this process began the record."""

    def link(self, *, yes: bool, json: bool) -> None:
        """Only the first half: have the node exported."""
        self._keep(self._consent(None, yes=yes))
        url = self._export()
        output.result(
            {"v": 1, "node_id": self.device.node_id.hex(), "url": url}, output.plain(url), json=json
        )
        output.talk("next: download it, then `signerd decrypt-export FILE`")

    def home(self, keys: NodeKeys, named: str | None, *, again: bool, yes: bool, json: bool) -> None:
        """All of it, from where an earlier run was cut off."""
        from signerd.store import export_file
        from signerd.store.partial_download import PartialDownload

        if self.record and self.record.home:
            if not again:
                self._home_already(self.record.home, json=json)
                return
            self._home_again(self.record.home, yes=yes)
        place = Place.choose(named, self.record.target if self.record else None, keys.node_id)
        place.require_free(keys.node_id)
        if self.record and self.record.target not in (None, place.plain):
            output.talk(f"it was to go to {self.record.target} before; what is there already stays there")
        agreed = self._consent(place.plain, yes=yes)
        with progress.bar(None) as bar, PartialDownload(place.encrypted, keys.node_id) as part:
            self.say = bar.say
            # On disk before the host is asked: if we die then, it is known that it may have been.
            self._keep(agreed)
            if part.finished or part.kept.size:
                self.unasked = False  # somebody had it exported, or where would this come from?
            if not part.finished:
                self._download(part, bar)
            ours = part.ours
            try:
                with export_file.open_source(place.encrypted) as source:
                    decrypted = _decrypt(source, place.plain, keys, bar)
            except BackupError as error:
                raise _not_the_backup(error, place, part, ours=ours) from error
            if self.record is None or self.record.exported_at is None:
                # The backup came by other means; from now on it is the only one.
                self._export()
            self._write_guide(place, decrypted.size, decrypted.payload.kind)
            home = self._remember(place, decrypted)
            part.forget()
        self._report(home, place, json=json)

    def _home_again(self, home: TakenHome, *, yes: bool) -> None:
        assert self.record is not None
        date, node = _date(home.at), self.device.node_id.hex()
        output.talk(_AGAIN.format(node=node, date=date, file=home.file))
        output.confirm("Fetch it again?", yes=yes)
        self._keep(replace(self.record, home=None))

    def _home_already(self, home: TakenHome, *, json: bool) -> None:
        place = Place.of(home.file)
        if not place.holds(home.size):
            raise Refused(
                "export-taken-home",
                f"the backup was taken home on {_date(home.at)}, to {home.file}, and is not there any more",
                hint="if it was imported, never import it again: that can lose everything in the channels. "
                "If it was lost before it was imported anywhere, add --again",
            )
        output.talk(f"This backup was taken home on {_date(home.at)}. Import it once, and never again.")
        self._write_guide(place, home.size, home.payload)
        self._report(home, place, json=json)

    def _consent(self, target: Path | None, *, yes: bool) -> ExportRecord:
        """Ask, once: when the host has exported the node there is nothing left to decide."""
        from signerd.store.export_record import ExportRecord

        record = self.record
        if record is None or record.exported_at is None:
            known = f": {self.settings.secret_file}" if self.settings.secret_file.exists() else ""
            node, version = self.device.node_id.hex(), self.settings.config.node.version
            output.talk(_WORDS.format(node=node, version=version, secret=known))
            output.confirm("Export the node?", yes=yes)
            record = record or ExportRecord(self.device.node_id, session.now())
        return replace(record, target=target or record.target)

    def _export(self) -> str:
        """Have the host export the node, or say again where its export is.

        What the host rejects is forgotten only if nobody can have asked it before: a node that is gone is
        rejected as well, and whoever forgot that it may have left would sign for it.
        """
        from signerd.store import export_record

        assert self.record is not None
        fresh = self.record.exported_at is None
        first, self.unasked = self.unasked, False
        if fresh:
            self.say("asking the host; it answers when the backup is made, which may take minutes")

        async def work() -> str:
            async with session.client(self.settings, self.device.identity) as scheduler:
                return await scheduler.export_node(deadline=EXPORT_SECONDS, once=first)

        try:
            url = session.run(work())
        except (AccessDenied, Rejected) as error:
            if first and error.code in _OUTRIGHT and not isinstance(error, AlreadyExists):
                self._forget()
            elif fresh:
                unknown = _UNKNOWN.format(name=export_record.NAME)
                error.hint = f"{error.hint}; {unknown}" if error.hint else unknown
            raise
        except Unavailable as error:
            if first and error.code == "UNAVAILABLE":
                # That one may have arrived. From here on the host may say no because it has done it.
                return self._export()
            raise
        if fresh:
            self._keep(replace(self.record, exported_at=session.now()))
        return url

    def _download(self, part: PartialDownload, bar: progress.Bar) -> None:
        from signerd.daemon.backup_download import BackupDownload, Limits
        from signerd.greenlight import download

        config = self.settings.config
        if part.kept.size:
            bar.say(f"going on with {part.part}, at byte {part.kept.size}")
        link = self._export()
        BackupDownload(
            part,
            link,
            self._export,
            download.tls_context(self.device.identity.ca),
            Limits(
                max_bytes=config.export.max_bytes,
                stall_seconds=config.export.stall_seconds,
                first_pause_seconds=config.backoff.first_seconds,
                max_pause_seconds=config.backoff.max_seconds,
            ),
            progress=bar,
            tell=bar.say,
        ).run()

    def _write_guide(self, place: Place, size: int, kind: str) -> None:
        from signerd.core import export_payload, restore_guide

        facts = restore_guide.Facts(
            node_id=self.device.node_id,
            network=self.settings.network,
            payload=export_payload.by_kind(kind),
            file=str(place.plain),
            size=size,
            encrypted=str(place.encrypted),
            secret=str(self.settings.secret_file),
            layout=place.secret_layout(self.settings.secret_file),
            version=self.settings.config.node.version,
            date=_date(session.now()),
        )
        place.write_guide(restore_guide.render(facts), self.device.node_id)

    def _remember(self, place: Place, decrypted: Decrypted) -> TakenHome:
        from signerd.store.export_record import TakenHome

        assert self.record is not None
        home = TakenHome(session.now(), place.plain, decrypted.size, decrypted.payload.kind)
        self._keep(replace(self.record, home=home))
        return home

    def _report(self, home: TakenHome, place: Place, *, json: bool) -> None:
        from signerd.core import export_payload

        node_id = self.device.node_id.hex()
        document = {
            "v": 1,
            "node_id": node_id,
            "file": str(place.plain),
            "size": home.size,
            "payload": home.payload,
            "encrypted": str(place.encrypted),
            "restore": str(place.guide),
            "taken_home_at": home.at,
        }
        text = (
            f"node id    {node_id}\n"
            f"content    {export_payload.by_kind(home.payload).description}\n"
            f"file       {place.plain}, {home.size} bytes, verified\n"
            f"encrypted  {place.encrypted}\n"
            f"next       {place.guide}"
        )
        output.result(document, text, json=json)
        output.talk(f"\n{export_payload.WARNING}")

    def _keep(self, record: ExportRecord) -> None:
        from signerd.store import export_record

        if record != self.record:
            self.unasked = self.unasked or self.record is None
            export_record.write(self.settings.data_dir, record)
            self.record = record

    def _forget(self) -> None:
        from signerd.store import export_record

        export_record.remove(self.settings.data_dir)
        self.record = None


def _decrypt(source: Any, target: Path, keys: NodeKeys, bar: progress.Bar) -> Decrypted:
    """Into `target`; or see that it is there already, from a run that was cut off behind this step."""
    from signerd.store import export_file, files

    if not source.body_size:
        raise BackupError("the backup is empty", hint="ask the operator of the service")
    try:
        return export_file.to_file(source, target, keys, progress=bar.advance)
    except files.AlreadyThere:
        decrypted = export_file.same_as_file(source, target, keys, progress=bar.advance)
        if decrypted is None:
            raise
        return decrypted


def _not_the_backup(error: BackupError, place: Place, part: PartialDownload, *, ours: bool) -> BackupError:
    if not ours:
        hint = f"{place.encrypted} was not downloaded by this command: move it away, and run it again"
        return BackupError(error.message, hint=hint)
    aside = part.set_aside()
    hint = f"it was set aside as {aside}; run the same command again to download it anew"
    return BackupError(error.message, hint=hint)


def _date(moment: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))
