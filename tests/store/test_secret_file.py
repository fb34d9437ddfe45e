"""The secret file: private, whole, never overwritten."""

from __future__ import annotations

import os
import stat

import pytest

from signerd.errors import InputMissing, OutputError, SecretError
from signerd.store import secret_file
from signerd.units import Secret

SECRET = Secret(bytes(range(32)))


def test_creates_a_private_file_and_reads_it_back(tmp_path):
    path = tmp_path / "hsm_secret"
    secret_file.create_secret(path, SECRET)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == SECRET.expose()
    assert secret_file.read_secret(path) == SECRET
    assert [path] == list(tmp_path.iterdir())


def test_never_overwrites(tmp_path):
    path = tmp_path / "hsm_secret"
    path.write_bytes(b"precious")
    with pytest.raises(SecretError, match="never overwrites"):
        secret_file.create_secret(path, SECRET)
    assert path.read_bytes() == b"precious"


def test_a_dangling_link_counts_as_something_there(tmp_path):
    path = tmp_path / "hsm_secret"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SecretError, match="never overwrites"):
        secret_file.create_secret(path, SECRET)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610])
def test_refuses_a_file_that_others_can_read_and_says_what_to_type(tmp_path, mode):
    path = tmp_path / "hsm secret"
    path.write_bytes(SECRET.expose())
    path.chmod(mode)
    with pytest.raises(SecretError, match=f"{mode:04o}") as caught:
        secret_file.read_secret(path)
    assert caught.value.hint == f"chmod 600 '{path}'"


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_accepts_private_modes(tmp_path, mode):
    path = tmp_path / "hsm_secret"
    path.write_bytes(SECRET.expose())
    path.chmod(mode)
    assert secret_file.read_secret(path) == SECRET


def test_accepts_the_access_list_of_a_service_managers_credential(tmp_path):
    path = tmp_path / "hsm_secret"
    path.write_bytes(SECRET.expose())
    path.chmod(0o440)
    assert secret_file.read_secret(path, handed_over=True) == SECRET


@pytest.mark.parametrize("mode", [0o444, 0o604, 0o666])
def test_even_a_service_managers_credential_is_not_for_everybody(tmp_path, mode):
    path = tmp_path / "hsm_secret"
    path.write_bytes(SECRET.expose())
    path.chmod(mode)
    with pytest.raises(SecretError, match="read by others"):
        secret_file.read_secret(path, handed_over=True)


def test_says_where_a_secret_is_missing(tmp_path):
    with pytest.raises(InputMissing, match="no secret at") as caught:
        secret_file.read_secret(tmp_path / "hsm_secret")
    assert "signerd init" in (caught.value.hint or "")


def test_refuses_a_directory(tmp_path):
    with pytest.raises(SecretError, match="directory"):
        secret_file.read_secret(tmp_path)


def test_refuses_a_long_file_without_reading_it_whole(tmp_path):
    path = tmp_path / "hsm_secret"
    path.touch(0o600)
    os.truncate(path, 10 * 2**30)
    with pytest.raises(SecretError, match="more than"):
        secret_file.read_secret(path)


def test_refuses_a_device(tmp_path):
    with pytest.raises(SecretError):
        secret_file.read_secret(tmp_path.__class__("/dev/null"))


def test_says_what_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        secret_file.create_secret(tmp_path / "file" / "hsm_secret", SECRET)
