"""What a decrypted export is, and what its owner does with it next."""

from __future__ import annotations

import gzip
import io
import sqlite3
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.core import export_payload


def sqlite_database(directory):
    with sqlite3.connect(directory / "db") as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    return (directory / "db").read_bytes()


def tar_archive():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("toc.dat"))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("plaintext", "kind"),
    [
        (b"PGDMP\x01\x0f\x00", "postgresql-archive"),
        (
            b"--\n-- PostgreSQL database dump\n--\n\n\\restrict x\n\nSET statement_timeout = 0;",
            "postgresql-sql",
        ),
        (b"-- PostgreSQL database cluster dump\n", "postgresql-sql"),
        (b"\xef\xbb\xbf\nSET client_encoding = 'UTF8';", "sql"),
        (b"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;", "sql"),
        (gzip.compress(b"x"), "gzip"),
        (b"\x28\xb5\x2f\xfd\x24\x00\x01\x00\x00\x99\xe9\xd8\x51", "zstd"),
        (tar_archive(), "tar"),
        (b"", "empty"),
        (b"-- \x00 not text", "unknown"),
        (b"hello greenlight", "unknown"),
        (b"PGDM", "unknown"),
    ],
)
def test_recognises_a_payload_by_its_first_bytes(plaintext, kind):
    assert export_payload.recognise(plaintext[: export_payload.HEAD_SIZE]).kind == kind


def test_recognises_a_real_sqlite_database(tmp_path):
    head = sqlite_database(tmp_path)[: export_payload.HEAD_SIZE]
    assert export_payload.recognise(head).kind == "sqlite"


@given(st.binary(max_size=export_payload.HEAD_SIZE))
def test_has_an_answer_to_everything(head):
    payload = export_payload.recognise(head)
    assert (payload is export_payload.EMPTY) == (head == b"")
    assert "FILE" not in export_payload.next_steps(payload, file="node.dump")


def test_the_next_steps_name_the_file_and_warn_of_a_second_import():
    steps = export_payload.next_steps(export_payload.recognise(b"PGDMP"), file="node.dump")
    assert "pg_restore --no-owner --dbname=DATABASE node.dump" in steps
    assert "Import it once" in steps
    assert "32-byte secret" in steps
