"""What README, docs/ and the help say is what the program does."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from helpers.audit import fill
from helpers.greenlight import asynchronous, registered
from helpers.world import environment

import signerd
from signerd import config
from signerd.cli.main import COMMANDS, cli
from signerd.core import explain
from signerd.core.audit import record as audit_record
from signerd.core.pairing import PairingPolicy, PairingRule
from signerd.core.pairing_code import pairing_code
from signerd.core.signer import MALFORMED_RULE
from signerd.daemon.guarded import STORE_RULE
from signerd.daemon.signing_service import BUG_RULE
from signerd.dev.local import LocalGreenlight
from signerd.errors import ExitCode, SignerdError
from signerd.greenlight.credentials import Credentials
from signerd.greenlight.scheduler import SchedulerClient
from signerd.greenlight.transport import ClientOptions

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(name: str, heading: str, *, level: int = 2) -> str:
    """A document's text under one heading, up to the next of the same rank or a higher one."""
    _, _, rest = text_of(name).partition(f"\n{'#' * level} {heading}\n")
    assert rest, f"{name} has no section {heading!r}"
    return re.split(rf"\n#{{2,{level}}} ", rest)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row but the heads."""
    lines = text.splitlines()
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line, below in zip(lines, [*lines[1:], ""], strict=True)
        if line.startswith("|") and not line.startswith("| ---") and not below.startswith("| ---")
    ]


def code_of(text: str) -> tuple[list[tuple[str, str]], str]:
    """A document's code blocks, each with its language, and the rest of its text."""
    blocks: list[tuple[str, str]] = []
    rest: list[str] = []
    language = ""
    inside: list[str] | None = None
    for line in text.splitlines():
        if not line.lstrip().startswith("```"):
            (rest if inside is None else inside).append(line)
        elif inside is None:
            language, inside = line.strip("` "), []
        else:
            blocks.append((language, "\n".join(inside)))
            inside = None
    assert inside is None, "a code block is not closed"
    return blocks, "\n".join(rest)


# The two commands of the README


def test_readme_has_the_two_commands_where_ci_looks_for_them():
    between = text_of("README.md").split("<!-- commands -->")[1].split("<!-- /commands -->")[0]

    assert re.findall(r"^    \$ (.*)$", between, re.MULTILINE) == ["bash .ci/demo", "bash .ci/test"]


def test_readme_commands_name_files_that_are_there():
    for script in ("demo", "test", "setup", "run", "generate"):
        assert (ROOT / ".ci" / script).is_file()


# Commands and options


@dataclasses.dataclass(frozen=True)
class Typed:
    """A command line as a document has it."""

    where: str
    words: tuple[str, ...]


def typed_commands() -> Iterator[Typed]:
    """Every `signerd …` in shell blocks and inline code of the documents, and in the examples of the help."""
    for path in DOCUMENTS:
        name = str(path.relative_to(ROOT))
        blocks, prose = code_of(path.read_text(encoding="utf-8").replace("\\\n", " "))
        for language, block in blocks:
            for line in block.splitlines() if language == "sh" else ():
                yield from _commands_in(line.partition("  #")[0], name)
        for code in re.findall(r"`([^`]+)`", prose):
            if code.startswith("signerd "):
                yield from _commands_in(code, name)
    for command, path in _all_commands():
        for line in (command.help or "").splitlines():
            if line.strip().startswith("signerd "):
                yield from _commands_in(
                    re.split(r"\s{3,}", line.strip())[0], f"the help of {path or 'signerd'}"
                )


# These have the word in their lines, as the name of a unit, of a user or of an image.
_OTHERS = {"systemctl", "useradd", "systemd-creds", "journalctl", "systemd-analyze"}


def _commands_in(line: str, where: str) -> Iterator[Typed]:
    quoted = re.sub(r"'[^']*'|\"[^\"]*\"", "QUOTED", line)
    for piece in re.split(r"\||&&|;", re.sub(r"\s[<>]\s*\S+", "", quoted)):
        words = piece.split()
        for number, word in enumerate(words):
            is_ours = word == "signerd" or word.endswith("/bin/signerd")
            is_value = number > 0 and words[number - 1].startswith("-")
            if is_ours and not is_value and not _OTHERS & set(words):
                yield Typed(where, tuple(words[number + 1 :]))


def _all_commands() -> Iterator[tuple[click.Command, str]]:
    def walk(command: click.Command, path: str) -> Iterator[tuple[click.Command, str]]:
        yield command, path
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                yield from walk(inner, f"{path} {name}".strip())

    return walk(cli, "")


def parse(words: tuple[str, ...]) -> None:
    """Parse a command line as the program does. Raises click.UsageError."""
    command: click.Command = cli
    arguments = list(words)
    context = click.Context(cli, info_name="signerd")
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        name = arguments.pop(0)
        inner = command.get_command(context, name)
        if inner is None:
            raise click.UsageError(f"no command {name}")
        command, context = inner, click.Context(inner, info_name=name, parent=context)
    if isinstance(command, click.Group) and not command.invoke_without_command and not arguments:
        return  # a group that is only talked about
    if "--help" in arguments or "--version" in arguments:
        return
    context.resilient_parsing = False
    rest = command.parse_args(context, [_concrete(word) for word in arguments])
    if rest and not isinstance(command, click.Group):
        raise click.UsageError(f"too much: {rest}")


def _concrete(word: str) -> str:
    """A word that stands for another, as itself would be typed."""
    return {"ID": "1", "…": "x", "bitcoin|testnet|signet|regtest": "bitcoin"}.get(word, word)


# Only named, without the argument that they need.
PROSE = {
    ("pair", "new"), ("pair", "approve"), ("pairing", "approve"), ("pairing", "deny"),
    ("replay",), ("decrypt-export",), ("rune", "restrict"),
    ("rune", "decode"), ("explain",), ("webhooks", "add"), ("COMMAND", "--help"), ("devices", "revoke"),
    ("webhooks", "delete"),
    ("webhooks", "rotate-secret"), ("rune", "check"), ("dev", "ctl"), ("completion",),
}  # fmt: skip


def test_documents_type_a_good_many_commands():
    assert len(list(typed_commands())) > 40


@pytest.mark.parametrize(
    "typed", sorted(set(typed_commands()), key=str), ids=lambda t: f"{t.where}: {' '.join(t.words)}"
)
def test_every_command_that_is_written_down_can_be_typed(typed):
    words = tuple(word.rstrip(",.:") for word in typed.words if word != "…")
    if words in PROSE:
        return
    parse(words)


def test_a_command_that_does_not_exist_would_be_noticed():
    for words in (
        ("regsiter",),
        ("register", "--invite"),
        ("pair", "old"),
        ("init", "--words", "13"),
        ("run", "now"),
    ):
        with pytest.raises(click.UsageError):
            parse(words)


def test_help_lists_every_command():
    shown = cli.get_help(click.Context(cli))

    assert [name for name in COMMANDS if not re.search(rf"^  {name} ", shown, re.MULTILINE)] == []


def test_every_command_in_the_table_loads_and_has_help():
    for command, path in _all_commands():
        assert command.help, path


def test_readme_has_a_row_for_every_command_and_subcommand():
    table = [row[0] for row in rows(section("README.md", "Commands"))]
    written = {word for cell in table for word in re.findall(r"[a-z-]+", cell)}
    for _, path in _all_commands():
        assert set(path.split()) <= written, path
    assert [cell.split("`")[1].split()[1] for cell in table] == list(COMMANDS)


# Exit codes


def test_exit_codes_are_the_same_in_code_and_documents():
    codes = [int(code) for code in ExitCode]

    assert [int(row[0]) for row in rows(section("README.md", "Exit codes"))] == codes
    assert [int(row[0]) for row in rows(section("docs/operations.md", "Exit codes"))] == codes
    assert [int(code) for code in re.findall(r"\b(\d+) [a-z]", cli.epilog or "")] == codes


def test_the_man_page_says_the_same_about_exit_codes_and_variables():
    from signerd.cli import manpage

    words = {row[0]: row[1] for row in rows(section("README.md", "Exit codes"))}
    page = manpage.pages()["signerd.1"].replace("\\-", "-").replace("\\fB", "").replace("\\fR", "")

    for code, meaning in words.items():
        assert f"\n{code}\n{meaning[:1].upper()}{meaning[1:]}.\n" in page
    for variable in re.findall(r"`([A-Z_]+)`", section("docs/operations.md", "Environment")):
        if variable not in config.VARIABLES and variable not in {"TMPDIR", "GRPC_VERBOSITY", "HOME"}:
            assert variable in page, variable


def test_every_error_leaves_with_a_documented_code():
    def kinds(kind: type[SignerdError]) -> Iterator[type[SignerdError]]:
        yield kind
        for inner in kind.__subclasses__():
            yield from kinds(inner)

    assert {kind.exit_code for kind in kinds(SignerdError)} <= set(ExitCode)


# Rules, events, keys, variables


def test_every_pairing_rule_has_its_row_in_the_order_of_the_checks():
    named = [row[0].strip("`") for row in rows(section("docs/pairing.md", "Rules"))]

    assert named == [str(rule) for rule in PairingRule]


def test_pairing_codes_are_what_the_document_shows():
    text = section("docs/pairing.md", "The code", level=3)
    (key,) = re.findall(r"^`(04[0-9a-f]{128})`:$", text, re.MULTILINE)
    shown = [[cell.strip("`").replace(r"\|", "|") for cell in row] for row in rows(text)]

    assert len(shown) == 4
    for name, restrictions, code in shown:
        assert pairing_code(key, "" if name == "(empty)" else name, restrictions.replace("KEY", key)) == code


def test_pairing_settings_are_documented_with_their_defaults():
    shown = {row[0].strip("`"): row[1].strip("`") for row in rows(section("docs/pairing.md", "Settings"))}
    keys = {key: value for key, value in config.known_keys().items() if key.startswith("pairing.")}

    assert set(shown) == set(keys)
    assert tomllib.loads("\n".join(f"{key} = {value}" for key, value in shown.items())) == tomllib.loads(
        "\n".join(f"{key} = {_toml(value)}" for key, value in keys.items())
    )
    assert PairingPolicy().max_age_seconds == keys["pairing.max_age_seconds"]


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return str(list(value))
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def test_every_rule_for_the_nodes_requests_has_its_row():
    shown = [row[0].strip("`") for row in rows(section("docs/signing.md", "Refusals"))]
    sources = [ROOT / "signerd/core/signer.py", ROOT / "signerd/daemon/node_attachment.py"]
    for package in ("handlers", "policy", "state", "keys", "tx"):
        sources += (ROOT / "signerd/core" / package).glob("*.py")
    raised = {rule for path in sources for rule in _rules_in(ast.parse(path.read_text(encoding="utf-8")))}

    assert "unsupported-message" in raised
    assert sorted(shown) == sorted(raised | {MALFORMED_RULE, BUG_RULE, STORE_RULE})


def _words(cell: str) -> str:
    """A cell's text without links and code marks."""
    return re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", cell).replace("\\|", "|")


def test_rules_mean_the_same_in_the_documents_and_in_explain():
    signing = {row[0].strip("`"): _words(row[1]) for row in rows(section("docs/signing.md", "Refusals"))}
    pairing = {
        row[0].strip("`"): (_words(row[1]).replace("`", ""), _words(row[2]))
        for row in rows(section("docs/pairing.md", "Rules"))
    }

    assert signing == {rule: told.meaning for rule, told in explain.REQUEST_RULES.items()}
    assert pairing == {rule: (told.meaning, told.remedy) for rule, told in explain.PAIRING_RULES.items()}


def test_the_verifier_in_the_document_takes_an_export_and_finds_what_was_changed(tmp_path):
    (code,) = [block for language, block in code_of(text_of("docs/audit.md"))[0] if language == "python"]
    names: dict[str, Any] = {}
    exec(compile(code, "docs/audit.md", "exec"), names)
    fill(tmp_path / "signerd.db", 5)
    done = subprocess.run(
        [sys.executable, "-m", "signerd", "audit", "export", "-o", "-", "--data-dir", str(tmp_path)],
        capture_output=True, text=True, check=True, env=environment(tmp_path),
    )  # fmt: skip
    lines = done.stdout.splitlines()

    assert names["verify"](lines).startswith("5:")
    for broken in (
        lines[:3] + lines[4:],
        lines[:-2] + lines[-1:],
        [line.replace("150", "151") for line in lines],
    ):
        with pytest.raises(ValueError, match=r"is broken|is missing"):
            names["verify"](broken)


def test_audit_settings_are_documented_with_their_defaults():
    shown = {
        row[0].strip("`"): row[1].strip("`")
        for row in rows(section("docs/audit.md", "How long records are kept"))
    }
    keys = {key: value for key, value in config.known_keys().items() if key.startswith("audit.")}

    assert shown == {key: str(value) for key, value in keys.items()}


def test_every_field_of_a_record_is_documented():
    shown = [
        name
        for row in rows(section("docs/audit.md", "What a record says"))
        for name in re.findall(r"`([a-z_0-9]+)`", row[0])
    ]

    assert sorted(shown) == sorted(audit_record._FIELDS)


def _rules_in(tree: ast.Module) -> Iterator[str]:
    """Rules by name: where one is raised, and where one is given a name of its own."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"Refused", "Refusal"}
            and node.args
        ):
            yield from _texts_of(node.args[0])
        elif (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id in {"rule", "_RULE"}
        ):
            yield from _texts_of(node.value)


def _texts_of(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts_of(node.body)
        yield from _texts_of(node.orelse)
    elif isinstance(node, ast.JoinedStr):
        # The one rule of two sides.
        start = str(node.values[0].value) if isinstance(node.values[0], ast.Constant) else ""
        yield from (f"{start}{side}" for side in ("holder", "counterparty"))


def test_every_environment_variable_is_documented():
    read = {"TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"}  # by the standard library, for us
    for path in (ROOT / "signerd").rglob("*.py"):
        if path.parent.name not in {"dev", "pb"}:
            read |= set(
                re.findall(
                    r"environ(?:\.get|\.setdefault)?[(\[]\"([A-Z_]+)\"", path.read_text(encoding="utf-8")
                )
            )
    read |= set(config.GL_VARIABLES) | config.OTHER_VARIABLES
    shown = set(re.findall(r"`([A-Z_]+)`", section("docs/operations.md", "Environment")))
    # One rule makes the others of the keys; some are examples of it.
    by_rule = set(config.VARIABLES)

    assert "STATE_DIRECTORY" in read
    assert read - shown - by_rule == set()
    assert shown - read - by_rule == {"TERM", "HOME"} - read
    assert "SIGNERD_SCHEDULER_URI" in shown


def test_every_key_that_is_named_in_a_document_exists():
    tables = {key.partition(".")[0] for key in config.known_keys() if "." in key}
    for path in DOCUMENTS:
        for key in re.findall(r"`([a-z]+\.[a-z_]+)`", path.read_text(encoding="utf-8")):
            if key.partition(".")[0] in tables:
                assert key in config.known_keys(), f"{path.name}: {key}"


def test_the_hint_about_mnemonic_containers_finds_its_document():
    source = text_of("signerd/core/secret_layout.py")

    assert "`The secret` in the documentation" in source
    assert text_of("docs/secret.md").startswith("# The secret\n")


# The Python API


def test_every_method_of_the_scheduler_client_is_documented():
    written = set(re.findall(r"`([a-z_]+)\(", section("docs/api.md", "Methods")))
    public = {
        name
        for name, _ in inspect.getmembers(SchedulerClient, inspect.isfunction)
        if not name.startswith("_")
    }

    assert written == public


def test_every_client_option_is_documented_with_its_default():
    shown = {row[0].strip("`"): row[1].strip("`") for row in rows(section("docs/api.md", "Options"))}
    fields = {field.name: field.default for field in dataclasses.fields(ClientOptions)}

    assert set(shown) == set(fields)
    for name, default in fields.items():
        expected = "4 MiB" if name == "max_decoding_message_size" else repr(default)
        assert shown[name] == expected


def test_documented_methods_that_are_repeated_are_those_that_may_be():
    marked = {
        name
        for row in rows(section("docs/api.md", "Methods"))
        if "↻" in row[0]
        for name in re.findall(r"`([a-z_]+)\(", row[0])
    }
    repeatable = {
        name
        for name, method in inspect.getmembers(SchedulerClient, inspect.isfunction)
        if not name.startswith("_") and re.search("repeatable=(True|not once)", inspect.getsource(method))
    }

    assert marked == repeatable


def example() -> dict[str, object]:
    """The names that the example of docs/api.md defines."""
    (code,) = [block for language, block in code_of(text_of("docs/api.md"))[0] if language == "python"]
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(code, "docs/api.md", "exec"), names)
    return names


@asynchronous
async def test_the_example_of_the_api_works(tmp_path):
    start_node = example()["start_node"]
    assert callable(start_node)
    async with LocalGreenlight(tmp_path / "greenlight") as greenlight:
        device = await registered(greenlight)
        blob = Credentials(
            device.identity.chain, device.identity.key, greenlight.ca_path.read_bytes(), device.rune
        )
        (tmp_path / "credentials.gfs").write_bytes(blob.encode())

        address = await start_node(greenlight.scheduler_uri, tmp_path / "credentials.gfs")

        assert address == greenlight.node(device.node_id).grpc_uri


# Links, and what does not belong into a repository


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", code_of(path.read_text(encoding="utf-8"))[1], re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        assert linked.exists(), f"{path.name}: {target}"
        assert not anchor or anchor in anchors(linked), f"{path.name}: {target}"


def test_every_document_is_linked_from_the_readme():
    linked = set(re.findall(r"\]\(([^)#]+)", text_of("README.md")))

    assert {str(path.relative_to(ROOT)) for path in DOCUMENTS} - {"README.md"} <= linked


def test_version_is_in_the_changelog():
    assert signerd.__version__ in text_of("CHANGELOG.md")
    assert subprocess.run(
        [sys.executable, "-m", "signerd", "--version"], capture_output=True, text=True, check=True,
        env=environment(Path("/nonexistent")),
    ).stdout == f"signerd {signerd.__version__}\n"  # fmt: skip


def repository_files() -> list[Path]:
    """Every file that belongs to the repository, whether committed or only about to be."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    names = listed.stdout.split("\0") if listed.returncode == 0 else []
    if not any(names):  # not a clone: an unpacked archive
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file() and not _is_hidden(p)]
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") and part != ".ci" for part in path.relative_to(ROOT).parts)


# In brackets, so that this file does not find itself.
MACHINE_PATHS = re.compile(r"(?<![\w.$~/-])/(?:[w]ork|[U]sers|[r]oot|[t]mp/w)/\w|/[h]ome/(?!nobody-here)\w")
REGISTRIES = re.compile(r"[p]ypi\.org|[p]ythonhosted\.org|[d]ocker\.io|[n]pmjs\.|[g]hcr\.io|/[s]imple/")
LOCKS = {"uv.lock", "poetry.lock", "Pipfile.lock", "pdm.lock", "requirements.lock"}


def test_no_file_holds_a_path_of_somebodys_machine():
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in repository_files()
        if (match := MACHINE_PATHS.search(path.read_bytes().decode("utf-8", "replace")))
    ]
    assert found == []


def test_no_file_names_a_package_registry():
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in repository_files()
        if (match := REGISTRIES.search(path.read_bytes().decode("utf-8", "replace")))
    ]
    assert found == []


def test_no_lock_file_and_no_requirement_has_an_address():
    files = repository_files()

    assert [path.name for path in files if path.name in LOCKS] == []
    for path in files:
        if path.parent.name == "requirements":
            assert "http" not in path.read_text(encoding="utf-8"), path.name


def test_machine_paths_and_registries_would_be_noticed():
    for place in ("work/main", "home/ann", "tmp/w/x", "Users/ann", "root/x"):
        assert MACHINE_PATHS.search(f"see /{place}")
    assert not MACHINE_PATHS.search("/var/lib/signerd, ~/.local and signerd/dev/local.py")
    # In pieces, so that no registry is named here either.
    for words in (("py", "pi"), ("files.python", "hosted")):
        assert REGISTRIES.search(f"https://{''.join(words)}.org/x")


def test_shell_lines_of_the_documents_are_well_formed():
    for path in DOCUMENTS:
        for language, block in code_of(path.read_text(encoding="utf-8"))[0]:
            if language == "sh":
                shlex.split(block, comments=True)
