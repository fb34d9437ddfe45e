"""Build the image without a container engine, and run commands in it: this machine is its base.

As root, in a mount namespace of its own: `unshare --mount --ipc python -m helpers.image DIRECTORY COMMANDS
SECRET`, the commands as a JSON list of lists of arguments, the secret in hexadecimal. Each stage is an
overlay above this machine's files, in which the stage's own RUN and COPY are executed as they are. Commands
run as an engine would run them: the entry point, the image's environment and nothing else, its user without
capabilities, a root that is read-only, but for the volume and a tmpfs for the socket. Prints a JSON list with
code, stdout and stderr of each.

What an engine adds and this does not: the base image itself, layers, a network and processes of its own.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from helpers import dockerfile, sandbox
from helpers.dockerfile import Instruction

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Stage:
    """A root file system in the making."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        parts = {name: directory / name for name in ("upper", "work", "root")}
        for part in parts.values():
            part.mkdir(parents=True)
        options = f"lowerdir=/,upperdir={parts['upper']},workdir={parts['work']}"
        sandbox.mount("overlay", self.root, "overlay", data=options)
        for name in ("proc", "dev"):
            sandbox.mount(f"/{name}", self.root / name, flags=sandbox.MS_BIND | sandbox.MS_REC)
        # Where the interpreter of this machine, which takes the base's place, lies in root's home.
        (self.root / "root").chmod(0o755)
        self.variables = {"PATH": f"{Path(sys.base_prefix) / 'bin'}:{SYSTEM_PATH}"}
        self.workdir = "/"

    def execute(self, instructions: list[Instruction], earlier: Stage | None) -> None:
        for instruction in instructions:
            rest = instruction.rest
            if instruction.word == "RUN":
                self._run(rest)
            elif instruction.word == "WORKDIR":
                self.workdir = rest
                self._at(rest).mkdir(parents=True, exist_ok=True)
            elif instruction.word == "ENV":
                for pair in shlex.split(rest):
                    name, value = pair.split("=", 1)
                    self.variables[name] = value.replace("$PATH", self.variables["PATH"])
            elif instruction.word == "COPY":
                self._copy(rest, earlier)

    def _run(self, line: str) -> None:
        # How this machine reaches its packages is no affair of the image's.
        env = self.variables | {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        chrooted = ["chroot", str(self.root), "/bin/sh", "-c", f"cd {shlex.quote(self.workdir)} && {line}"]
        done = subprocess.run(chrooted, env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"RUN {line}\n{done.stdout}\n{done.stderr}")

    def _copy(self, rest: str, earlier: Stage | None) -> None:
        *sources, target = shlex.split(rest)
        origin = dockerfile.ROOT
        if sources[0].startswith("--from="):
            assert earlier is not None
            origin = earlier.root
            sources.pop(0)
        for source in sources:
            found = origin / source.lstrip("/")
            to = self._at(target)
            if found.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(found, to, symlinks=True, dirs_exist_ok=True, ignore=ignored)
            else:
                to.mkdir(parents=True, exist_ok=True)
                shutil.copy(found, to)

    def _at(self, path: str) -> Path:
        return self.root / os.path.join(self.workdir, path).lstrip("/")  # noqa: PTH118


def run(stage: Stage, final: list[Instruction], arguments: list[str], secret: bytes) -> dict[str, object]:
    """In a child, because there is no way back from a chroot without privileges."""
    user = int(dockerfile.only(final, "USER").split(":")[0])
    ours = os.pipe()
    entry = json.loads(dockerfile.only(final, "ENTRYPOINT"))
    if (child := os.fork()) == 0:
        os.dup2(ours[1], 1)
        sandbox.enter(stage.root, user=user, volume=dockerfile.only(final, "VOLUME"), secret=secret)
        os.chdir(dockerfile.only(final, "WORKDIR"))
        done = subprocess.run(
            [*entry, *arguments], env=stage.variables, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=60, check=False,
        )  # fmt: skip
        os.write(1, json.dumps({"code": done.returncode, "out": done.stdout, "err": done.stderr}).encode())
        os._exit(0)
    os.close(ours[1])
    with os.fdopen(ours[0], "rb") as told:
        text = told.read()
    os.waitpid(child, 0)
    result: dict[str, object] = json.loads(text)
    return result


def main() -> None:
    directory, commands, secret = Path(sys.argv[1]), json.loads(sys.argv[2]), bytes.fromhex(sys.argv[3])
    sandbox.mount("none", "/", flags=sandbox.MS_REC | sandbox.MS_PRIVATE)
    build, final = dockerfile.stages()
    earlier = Stage(directory / "build")
    earlier.execute(build, None)
    stage = Stage(directory / "final")
    stage.execute(final, earlier)
    sys.stdout.write(json.dumps([run(stage, final, command, secret) for command in commands]))


if __name__ == "__main__":
    main()
