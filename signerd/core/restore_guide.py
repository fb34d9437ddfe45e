"""The RESTORE file: from a decrypted export to a node of one's own, in commands with the real names in them.

Pure text. The commands are for bash, and stop rather than replace anything: a role, a database, a
secret or a wallet that is there already means that a node was set up here before.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Literal

from signerd.core.export_payload import Payload
from signerd.units import Network, NodeId

SecretLayout = Literal["raw", "words", "other"]
"""32 raw bytes; BIP 39 words; anything else that signerd can open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the text is about; paths are absolute. `version` is the one that this signer announced."""

    node_id: NodeId
    network: Network
    payload: Payload
    file: str
    size: int
    encrypted: str
    secret: str
    layout: SecretLayout
    version: str
    date: str


def first_line(node_id: NodeId) -> str:
    """By which a RESTORE file of ours is known again."""
    return f"# How to take node {node_id.hex()} home"


def render(facts: Facts) -> str:
    """The whole file, in Markdown."""
    sections = [
        _head(facts),
        _never(),
        _prepare(facts),
        *_load(facts),
        _secret(facts),
        _check(facts),
        _go_online(facts),
        _second_import(facts),
    ]
    return "\n\n".join(sections) + "\n"


def _head(facts: Facts) -> str:
    return f"""{first_line(facts.node_id)}

Written by `signerd export` on {facts.date}. There is no secret in this file.

| what | value |
| --- | --- |
| node id | `{facts.node_id.hex()}` |
| network | {facts.network} |
| backup, decrypted | `{facts.file}`, {facts.size} bytes: {facts.payload.description} |
| backup, encrypted | `{facts.encrypted}` |
| node secret | `{facts.secret}` |
| Core Lightning | {facts.version}, or newer; never older than what the host ran |"""


def _never() -> str:
    return """## What never to do

* Never import this backup a second time, and never into a second node.
* Never let two copies of the node run, not even for a moment, not even to look.
* Never go back to an older state once the node was online: no older dump, no snapshot of the machine or
  of the database, no copy of this backup. Its peers have gone on since then, and may take everything in
  the channels.
* Never run the signer for this node again: `signerd run` refuses, and so should you."""


def _prepare(facts: Facts) -> str:
    directory = f"{_LIGHTNING}/{facts.network}"
    return f"""## 1. Prepare

The machine needs bitcoind for {facts.network}, synchronised, and Core Lightning {facts.version}
or newer, with the database that step 2 names. Do all steps in one bash, as the user who will run Core
Lightning; that user must be able to read the decrypted backup and the secret. On another machine, copy
these two there first, and put their new paths into the commands. If the signer is a service, end it:
`sudo systemctl disable --now signerd`.

```sh
lightningd --version
DATABASE={_database(facts)}
LIGHTNING_DIR="$HOME/.lightning"
mkdir -p -m 0700 "{directory}"
ls -l "{directory}"
```

There must be no `hsm_secret` and no `lightningd.sqlite3` yet: a directory holds one node. If there is,
choose another `LIGHTNING_DIR`."""


_LIGHTNING = "$LIGHTNING_DIR"


def _database(facts: Facts) -> str:
    return f"lightning_{facts.node_id.hex()[:10]}"


def _load(facts: Facts) -> list[str]:
    kind, file = facts.payload.kind, shlex.quote(facts.file)
    if kind == "postgresql-archive":
        return [_postgres(facts, "2", _from_archive(file))]
    if kind == "postgresql-sql":
        return [_postgres(facts, "2", _from_sql(file), _owner(facts))]
    if kind == "sqlite":
        return [_sqlite(facts, "2", file)]
    if kind in _UNPACK:
        return [_unpack(kind, file), *_variants(facts, f"{file}.unpacked")]
    if kind == "tar":
        return [_tar(file), _postgres(facts, "2a", _from_archive(file))]
    return [_unknown(file), *_variants(facts, file)]


def _postgres(facts: Facts, step: str, load: str, rescue: str = "") -> str:
    return f"""## {step}. Load the database into PostgreSQL

This makes a role and a database of their own. **If it says that one of them exists already, stop**: the
backup may have been imported before.

```sh
PASSWORD=$(openssl rand -hex 24)
sudo -u postgres psql --set=ON_ERROR_STOP=1 << END
CREATE ROLE $DATABASE LOGIN PASSWORD '$PASSWORD';
CREATE DATABASE $DATABASE OWNER $DATABASE TEMPLATE template0 ENCODING 'UTF8';
END
```

Load the backup, all of it or nothing:

```sh
PGPASSWORD=$PASSWORD {load}
```
{rescue}
Tell Core Lightning where its database is. This is the same as starting it with
`--wallet=postgres://USER:PASSWORD@localhost:5432/DATABASE`, but other users of the machine do not see
the password:

```sh
( umask 077; echo "wallet=postgres://$DATABASE:$PASSWORD@localhost:5432/$DATABASE" \\
    >> "{_LIGHTNING}/{facts.network}/config" )
```"""


def _from_archive(file: str) -> str:
    return (
        "pg_restore --no-owner --no-privileges --exit-on-error --single-transaction \\\n"
        f"    --host=localhost --username=$DATABASE --dbname=$DATABASE {file}"
    )


def _from_sql(file: str) -> str:
    return (
        "psql --set=ON_ERROR_STOP=1 --single-transaction --quiet \\\n"
        f"    --host=localhost --username=$DATABASE --dbname=$DATABASE --file={file}"
    )


def _owner(facts: Facts) -> str:
    """SQL text may name the host's own user; an archive is loaded without."""
    return f"""
If it stops because a role does not exist, nothing was loaded. Make that role by
`sudo -u postgres psql --dbname={_database(facts)}`, with its own NAME in
`CREATE ROLE "NAME" NOLOGIN; GRANT "NAME" TO {_database(facts)}; GRANT CREATE ON SCHEMA public TO "NAME";`,
and repeat the last command.
"""


def _sqlite(facts: Facts, step: str, file: str) -> str:
    place = f"{_LIGHTNING}/{facts.network}/lightningd.sqlite3"
    return f"""## {step}. Put the SQLite database in place

**If it says that the file exists already, stop**: the backup may have been imported before. The second
line must say nothing.

```sh
( set -o noclobber; umask 077; cat {file} > "{place}" )
cmp {file} "{place}"
```

No `--wallet` is needed: Core Lightning looks for it there."""


_UNPACK = {"gzip": "gzip --decompress --stdout", "zstd": "zstd --decompress --stdout"}


def _unpack(kind: str, file: str) -> str:
    return f"""## 2. Unpack

```sh
( set -o noclobber; umask 077; {_UNPACK[kind]} {file} > {file}.unpacked )
head -c 16 {file}.unpacked | xxd
```

{_CHOOSE}"""


def _tar(file: str) -> str:
    return f"""## 2. Look into the archive

```sh
tar --list --file={file}
```

If it lists `toc.dat`, it is what `pg_restore` takes: follow 2a. Otherwise unpack it into an empty
directory (`tar --extract --file=… --directory=…`) and look at what is inside: see `export.md` of the
documentation."""


def _unknown(file: str) -> str:
    return f"""## 2. Find out what it is

```sh
file {file}
head -c 16 {file} | xxd
```

{_CHOOSE} Import nothing that you do not know."""


_CHOOSE = """If it begins with `PGDMP`, follow 2a; if it is text with SQL in it, 2b; if it begins with
`SQLite format 3`, 2c."""


def _variants(facts: Facts, file: str) -> list[str]:
    return [
        _postgres(facts, "2a", _from_archive(file)),
        _postgres(facts, "2b", _from_sql(file), _owner(facts)),
        _sqlite(facts, "2c", file),
    ]


def _secret(facts: Facts) -> str:
    place = f"{_LIGHTNING}/{facts.network}/hsm_secret"
    secret = shlex.quote(facts.secret)
    if facts.layout == "raw":
        how = f'( set -o noclobber; umask 377; cat {secret} > "{place}" )'
        why = "The secret is the 32-byte file that signerd uses."
    elif facts.layout == "words":
        how = f'signerd init --import --secret-file "{place}" < {secret}\nchmod 0400 "{place}"'
        why = (
            "signerd writes the 32 bytes that follow from your words. Do not give the words themselves to\n"
            "Core Lightning: it makes other on-chain keys of them, and finds no money."
        )
    else:
        how = f'( set -o noclobber; umask 377; cat /path/to/the/32-byte/secret > "{place}" )'
        why = (
            f"`{facts.secret}` is not the plain 32 bytes. Open it first (see `secret.md` of the\n"
            "documentation), and put the result in the place of the path here."
        )
    return f"""## 3. Put the secret in place

{why}
Nothing is overwritten; the last line must print `400 32`.

```sh
{how}
stat --format='%a %s' "{place}"
```"""


def _run(facts: Facts, program: str) -> str:
    return f'{program} --lightning-dir="{_LIGHTNING}" --network={facts.network}'


def _check(facts: Facts) -> str:
    return f"""## 4. Start it offline, and look

Offline it speaks to no peer: what is wrong is noticed before anything is promised to anybody.

```sh
{_run(facts, "lightningd")} --offline --daemon
{_run(facts, "lightning-cli")} getinfo | grep '"id": "{facts.node_id.hex()}"'
{_run(facts, "lightning-cli")} listpeerchannels
{_run(facts, "lightning-cli")} listfunds
```

The second command must print the line with the node id. **If it prints nothing, stop**: the secret is
another node's. The channels and the funds must be those that you know."""


def _go_online(facts: Facts) -> str:
    file, encrypted = shlex.quote(facts.file), shlex.quote(facts.encrypted)
    return f"""## 5. Go online

From here on there is no way back to this backup.

```sh
{_run(facts, "lightning-cli")} stop
{_run(facts, "lightningd")} --daemon
```

When its channels are back, keep a copy of `emergency.recover` (in the directory `{facts.network}`)
elsewhere, and destroy the backup, which is old now and can only do harm:

```sh
shred --remove {file}
rm {encrypted}
```

Devices that were paired, and webhooks, were the host's: connect your programs to the new node anew."""


def _second_import(facts: Facts) -> str:
    return f"""## If a second import seems needed

* **The node was never online** (step 5 was never begun): nothing was promised to anybody. Stop Core
  Lightning, remove what step 2 made (`DROP DATABASE {_database(facts)}; DROP ROLE {_database(facts)};`
  by `sudo -u postgres psql`, or the file `lightningd.sqlite3`), and begin again at step 2.
* **The node was online, and its database is lost:** do not import this backup. Start an empty node with
  the same `hsm_secret` and its `emergency.recover`, and run `lightning-cli emergencyrecover`: it asks
  the peers to close the channels, and the money comes home on chain.
* **You do not know:** take it as online."""
