"""Passphrases from files and descriptors: private, bounded, and but for one newline as they are."""

from __future__ import annotations

import os
import pty
import threading

import pytest

from signerd.errors import InputMissing, SecretError, UsageError
from signerd.store import passphrase_file


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "pass phrase"
    path.write_bytes("wörds and blanks \n".encode())
    path.chmod(0o600)
    return path


def descriptor(content: bytes) -> int:
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    return reader


def test_reads_a_file_without_its_newline(file):
    assert passphrase_file.read(file).expose() == "wörds and blanks ".encode()


def test_follows_a_link_as_container_engines_make_them(tmp_path, file):
    (tmp_path / "link").symlink_to(file)
    assert passphrase_file.read(tmp_path / "link") == passphrase_file.read(file)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o666])
def test_refuses_a_file_that_others_can_read_and_says_what_to_type(file, mode):
    file.chmod(mode)
    with pytest.raises(SecretError, match=f"{mode:04o}") as caught:
        passphrase_file.read(file)
    assert caught.value.hint == f"chmod 600 '{file}'"


def test_takes_the_access_list_of_a_service_managers_credential(file):
    file.chmod(0o440)
    assert passphrase_file.read(file, handed_over=True)
    file.chmod(0o444)
    with pytest.raises(SecretError, match="read by others"):
        passphrase_file.read(file, handed_over=True)


def test_says_which_file_is_not_there(tmp_path):
    with pytest.raises(InputMissing, match=r"no passphrase at .*/none") as caught:
        passphrase_file.read(tmp_path / "none")
    assert caught.value.hint


def test_refuses_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(SecretError, match="not a regular file"):
        passphrase_file.read(tmp_path / "pipe")
    with pytest.raises(SecretError, match="directory, not a passphrase file"):
        passphrase_file.read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n", b"x", b"x\n", b"a" * 4000, b"a" * 4000 + b"\n"])
def test_reads_a_descriptor_to_its_end_and_closes_it(content):
    reader = descriptor(content)
    assert passphrase_file.read_descriptor(reader).expose() == content.removesuffix(b"\n")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader)


def test_reads_what_comes_in_pieces():
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb", buffering=0) as pipe:
            for piece in (b"one ", b"two", b"\n"):
                pipe.write(piece)

    thread = threading.Thread(target=write)
    thread.start()
    assert passphrase_file.read_descriptor(reader).expose() == b"one two"
    thread.join()


@pytest.mark.parametrize("size", [4001, 100_000])
def test_refuses_what_is_too_long_for_one(file, size):
    file.write_bytes(b"a" * size)
    with pytest.raises(SecretError, match="more than 4000 bytes"):
        passphrase_file.read(file)


@pytest.mark.parametrize("number", [999, 2**31 - 1])
def test_says_that_a_descriptor_is_not_open(number):
    with pytest.raises(InputMissing, match=f"descriptor {number}"):
        passphrase_file.read_descriptor(number)


def test_does_not_read_from_a_terminal_that_shows_what_is_typed():
    master, terminal = pty.openpty()
    try:
        with pytest.raises(UsageError, match="is a terminal"):
            passphrase_file.read_descriptor(terminal)
    finally:
        os.close(master)
        os.close(terminal)


def test_says_that_a_descriptor_is_not_for_reading(tmp_path):
    number = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(InputMissing, match=f"descriptor {number}"):
        passphrase_file.read_descriptor(number)
