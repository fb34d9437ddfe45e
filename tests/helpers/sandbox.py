"""The walls that systemd puts around signerd.service, built without systemd, around a command.

As root: `python -m helpers.sandbox UNIT --writable DIR… --readable DIR… -- COMMAND…`. The settings are read
from the unit, and one that is not known here is an error, so that the walls cannot silently get lower.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)

# mount(2), unshare(2), prctl(2), mount_setattr(2)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = (
    1, 2, 4, 8, 32, 4096, 16384, 1 << 18,
)  # fmt: skip
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER = 0x20000, 0x04000000, 0x08000000, 0x10000000
NEW_NAMESPACES = (0x80, 0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_SET_MDWE = 24, 38, 47, 65
AT_FDCWD, AT_RECURSIVE, SYS_MOUNT_SETATTR, MOUNT_ATTR_RDONLY = -100, 0x8000, 442, 1
PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000

ACT_ALLOW, ACT_ERRNO = 0x7FFF0000, 0x00050000
NE, LT, EQ, GE, GT, MASKED_EQ = 1, 2, 4, 5, 6, 7
UNPRIVILEGED = 64_321
LIMITS = {
    "LimitCORE": resource.RLIMIT_CORE,
    "LimitMEMLOCK": resource.RLIMIT_MEMLOCK,
    "LimitNOFILE": resource.RLIMIT_NOFILE,
}
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}


class Comparison(ctypes.Structure):
    """scmp_arg_cmp"""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def service(unit: Path) -> dict[str, list[str]]:
    """The unit's [Service] settings, each with its values in order."""
    settings: dict[str, list[str]] = {}
    lines = unit.read_text(encoding="utf-8").partition("[Service]\n")[2].partition("\n[")[0]
    for line in lines.splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.partition("=")
            settings.setdefault(key, []).append(value)
    return settings


def checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: Path | str, kind: str = "", flags: int = 0, data: str = "") -> None:
    checked(
        LIBC.mount(source.encode(), str(target).encode(), kind.encode(), flags, data.encode() or None),
        f"mount {target}",
    )


def prctl(option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(number) for number in (*arguments, 0, 0, 0, 0)[:4]]
    checked(LIBC.prctl(option, *padded), f"prctl {option}")


# Mounts


def build_file_system(writable: list[Path], readable: list[Path]) -> None:
    """ProtectSystem=strict, ProtectHome=, PrivateTmp=, PrivateDevices=, ProtectProc=, ProcSubset=."""
    checked(LIBC.unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS), "unshare")
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    handles = {path: os.open(path, os.O_PATH | os.O_DIRECTORY) for path in [*writable, *readable]}
    # An own copy of what is under the directories that are about to be covered.
    for directory in ("/tmp", "/var/tmp", "/home", "/root", "/run/user"):
        if Path(directory).is_dir():
            mount("tmpfs", directory, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    for path, handle in handles.items():
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        mount(f"/proc/self/fd/{handle}", path, flags=MS_BIND | MS_REC)
        os.close(handle)
    make_devices()
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=invisible,subset=pid")
    set_read_only("/", recursive=True, on=True)
    for path in (*writable, Path("/tmp"), Path("/var/tmp")):
        set_read_only(str(path), recursive=False, on=False)


def make_devices() -> None:
    names = ("null", "zero", "full", "random", "urandom", "tty")
    numbers = {name: Path("/dev", name).stat().st_rdev for name in names}
    mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755")
    for name, number in numbers.items():
        os.mknod(f"/dev/{name}", stat.S_IFCHR, number)
        Path("/dev", name).chmod(0o666)
    Path("/dev/shm").mkdir(mode=0o755)
    mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")


def set_read_only(path: str, *, recursive: bool, on: bool) -> None:
    attributes = (ctypes.c_uint64 * 4)(*((MOUNT_ATTR_RDONLY, 0) if on else (0, MOUNT_ATTR_RDONLY)), 0, 0)
    flags = AT_RECURSIVE if recursive else 0
    result = LIBC.syscall(
        ctypes.c_long(SYS_MOUNT_SETATTR), AT_FDCWD, path.encode(), flags,
        ctypes.byref(attributes), ctypes.c_size_t(32),
    )  # fmt: skip
    checked(result, f"mount_setattr {path}")


# Who we are


def expect_users() -> Callable[[], None]:
    """To be called before /proc is read-only; what it returns moves us among the users of a new namespace."""
    ours, theirs = os.pipe()
    parent = os.getpid()
    if (child := os.fork()) == 0:
        os.close(theirs)
        os.read(ours, 1)
        for name in ("uid_map", "gid_map"):
            # Only root and the user itself are anybody.
            Path(f"/proc/{parent}/{name}").write_text(f"0 0 1\n{UNPRIVILEGED} {UNPRIVILEGED} 1\n")
        os._exit(0)

    def move() -> None:
        checked(LIBC.unshare(CLONE_NEWUSER), "unshare")
        os.close(theirs)
        if os.waitpid(child, 0)[1]:
            raise OSError("the user namespace has no users")

    return move


def become(user: int) -> None:
    """DynamicUser=, CapabilityBoundingSet=, AmbientCapabilities=."""
    os.setgroups([])
    for capability in range(int(LAST_CAPABILITY) + 1):
        prctl(PR_CAPBSET_DROP, capability)
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    prctl(PR_CAP_AMBIENT, 4)


LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii")


def enter(root: Path, *, user: int, volume: str, secret: bytes) -> None:
    """As a container engine does: a root that is read-only, a volume, the secret as a file, no privileges."""
    checked(LIBC.unshare(CLONE_NEWNS), "unshare")
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    (root / "run/secrets").mkdir(exist_ok=True)
    mount("tmpfs", root / "run/secrets", "tmpfs", data="mode=0755")
    if secret:
        (root / "run/secrets/hsm_secret").write_bytes(secret)
        (root / "run/secrets/hsm_secret").chmod(0o400)
        os.chown(root / "run/secrets/hsm_secret", user, user)
    mount(str(root / volume.lstrip("/")), root / volume.lstrip("/"), flags=MS_BIND)
    mount("tmpfs", root / "run/signerd", "tmpfs", data=f"mode=0700,uid={user},gid={user}")
    mount("tmpfs", root / "tmp", "tmpfs", data="mode=1777")
    set_read_only(str(root), recursive=True, on=True)
    for path in (volume, "/run/signerd", "/tmp"):
        set_read_only(str(root / path.lstrip("/")), recursive=False, on=False)
    os.chroot(root)
    os.chdir("/")
    become(user)
    prctl(PR_SET_NO_NEW_PRIVS, 1)


# What we may ask of the kernel


class Filter:
    """One seccomp filter, made by libseccomp."""

    def __init__(self, library: ctypes.CDLL, default: int) -> None:
        self._library = library
        library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))

    def add(self, action: int, name: str, *comparisons: tuple[int, int, int, int]) -> None:
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return  # another architecture's
        array = (Comparison * max(1, len(comparisons)))(*(Comparison(*each) for each in comparisons))
        result = self._library.seccomp_rule_add_array(
            self._context, ctypes.c_uint32(action), number, len(comparisons), array
        )
        if result:
            raise OSError(-result, f"no rule for {name}")

    def load(self) -> None:
        if result := self._library.seccomp_load(self._context):
            raise OSError(-result, "seccomp_load")


def known_calls(names: Iterable[str]) -> set[str]:
    """The system calls of systemd's groups, those of groups in groups too."""
    calls: set[str] = set()
    for name in names:
        if not name.startswith("@"):
            calls.add(name)
            continue
        shown = subprocess.run(
            ["systemd-analyze", "--no-pager", "syscall-filter", name],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        members = (line.strip() for line in shown.splitlines()[1:])
        calls |= known_calls(line for line in members if line and not line.startswith("#"))
    return calls


def allowed_calls(values: list[str]) -> set[str]:
    # systemd always adds what it needs itself to start the command.
    allowed = known_calls(["@default", "execve"])
    for value in values:
        calls = known_calls(value.removeprefix("~").split())
        allowed = allowed - calls if value.startswith("~") else allowed | calls
    return allowed


def install_filters(settings: Mapping[str, list[str]], allowed: set[str]) -> None:
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    refuse = ACT_ERRNO | errno.EPERM

    families = {FAMILIES[name] for name in settings["RestrictAddressFamilies"][0].split()}
    walls = Filter(library, ACT_ALLOW)
    for family in sorted(set(range(64)) - families):
        walls.add(ACT_ERRNO | errno.EAFNOSUPPORT, "socket", (0, EQ, family, 0))
    walls.add(ACT_ERRNO | errno.EAFNOSUPPORT, "socket", (0, GE, 64, 0))
    # RestrictNamespaces=: what clone3 is asked for cannot be seen by a filter.
    walls.add(ACT_ERRNO | errno.ENOSYS, "clone3")
    walls.add(refuse, "setns")
    for flag in NEW_NAMESPACES:
        walls.add(refuse, "unshare", (0, MASKED_EQ, flag, flag))
        walls.add(refuse, "clone", (0, MASKED_EQ, flag, flag))
    # MemoryDenyWriteExecute=
    both = PROT_WRITE | PROT_EXEC
    walls.add(refuse, "mmap", (2, MASKED_EQ, both, both))
    walls.add(refuse, "mprotect", (2, MASKED_EQ, PROT_EXEC, PROT_EXEC))
    walls.add(refuse, "pkey_mprotect", (2, MASKED_EQ, PROT_EXEC, PROT_EXEC))
    walls.add(refuse, "shmat", (2, MASKED_EQ, SHM_EXEC, SHM_EXEC))
    # LockPersonality=, RestrictRealtime=, RestrictSUIDSGID=
    walls.add(refuse, "personality", (0, NE, 0, 0))
    walls.add(refuse, "sched_setscheduler", (1, GT, 0, 0))
    for bit in (stat.S_ISUID, stat.S_ISGID):
        for name, position in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("mkdir", 1), ("mkdirat", 2)):
            walls.add(refuse, name, (position, MASKED_EQ, bit, bit))
    walls.load()

    system = Filter(library, refuse)
    for name in sorted(allowed):
        system.add(ACT_ALLOW, name)
    system.load()


# All together

# What is built here from the setting, as opposed to what only the test around it, or systemd itself, can do.
BUILT: Mapping[str, Callable[[str], bool]] = {
    name: (lambda value, wanted=wanted: value == wanted)  # type: ignore[misc]
    for name, wanted in {
        "CapabilityBoundingSet": "", "AmbientCapabilities": "", "NoNewPrivileges": "yes",
        "SystemCallErrorNumber": "EPERM", "SystemCallArchitectures": "native",
        "MemoryDenyWriteExecute": "yes", "LockPersonality": "yes", "RestrictRealtime": "yes",
        "RestrictSUIDSGID": "yes", "RestrictNamespaces": "yes", "PrivateDevices": "yes", "PrivateTmp": "yes",
        "PrivateUsers": "yes", "PrivateIPC": "yes", "PrivateMounts": "yes", "ProtectSystem": "strict",
        "ProtectHome": "yes", "ProtectProc": "invisible", "ProcSubset": "pid", "DynamicUser": "yes",
        "UMask": "0077", "LimitCORE": "0",
    }.items()
}  # fmt: skip
READ = {"SystemCallFilter", "RestrictAddressFamilies", "LimitMEMLOCK", "LimitNOFILE"}
NOT_HERE = {
    # Directories, credentials, start and end: the test makes and does what systemd would.
    "Type", "NotifyAccess", "ExecStartPre", "ExecStart", "ExecReload", "User", "StateDirectory",
    "StateDirectoryMode", "RuntimeDirectory", "RuntimeDirectoryMode", "ConfigurationDirectory",
    "LoadCredential", "LoadCredentialEncrypted", "LogExtraFields", "Restart", "RestartSec",
    "RestartPreventExitStatus", "TimeoutStartSec", "TimeoutStopSec", "WatchdogSec",
    # Control groups, keyrings, and walls that the ones above imply for a user without capabilities.
    "MemorySwapMax", "TasksMax", "DevicePolicy", "ProtectClock", "ProtectHostname", "ProtectKernelLogs",
    "ProtectKernelModules", "ProtectKernelTunables", "ProtectControlGroups", "RemoveIPC", "KeyringMode",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("unit", type=Path)
    parser.add_argument("--writable", type=Path, action="append", default=[])
    parser.add_argument("--readable", type=Path, action="append", default=[])
    parser.add_argument("command", nargs="+")
    wanted = parser.parse_args()
    settings = service(wanted.unit)
    unknown = set(settings) - set(BUILT) - READ - NOT_HERE
    lower = {key for key, fits in BUILT.items() if not fits("".join(settings.get(key, ["missing"])))}
    if unknown or lower:
        sys.exit(f"this sandbox does not know {sorted(unknown)}, or cannot build {sorted(lower)}")

    # Asked while there still is a systemd to ask.
    allowed = allowed_calls(settings["SystemCallFilter"])
    move_among_private_users = expect_users()
    build_file_system(wanted.writable, wanted.readable)
    for name, which in LIMITS.items():
        value = settings[name][0]
        limit = resource.RLIM_INFINITY if value == "infinity" else int(value)
        # Root of a container may be unable to raise what it was given.
        with contextlib.suppress(ValueError):
            resource.setrlimit(which, (limit, limit))
    os.umask(0o077)
    os.chdir("/")
    move_among_private_users()
    become(UNPRIVILEGED)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_MDWE, 1)
    install_filters(settings, allowed)
    os.execv(wanted.command[0], wanted.command)


if __name__ == "__main__":
    main()
