"""`signerd completion`: the shell's half of completion. The other half is signerd, asked by the shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from signerd.cli import options

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

SHELLS = ("bash", "zsh", "fish")
PROGRAM = "signerd"
VARIABLE = "_SIGNERD_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@options.no_input
def command(shell: str) -> None:
    """Print the completion script for SHELL. The wheel installs the same where shells look for it.

    \b
    Where it is not found by itself:
      bash  signerd completion bash > ~/.local/share/bash-completion/completions/signerd
      zsh   signerd completion zsh > ~/.zfunc/_signerd         with ~/.zfunc in fpath
      fish  signerd completion fish > ~/.config/fish/completions/signerd.fish
    """
    print(script(shell), flush=True)


def script(shell: str) -> str:
    """The script of a shell, the same on every machine."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}")
    made = found(click.Group(), {}, PROGRAM, VARIABLE)
    # Not `source()`, which asks the bash of this machine for its version.
    text: str = made.source_template % made.source_vars()
    return text.strip()


def verbs(table: dict[str, tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    """The commands that begin so, from the table alone: no module of theirs is loaded."""
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(name, help=line) for name, (_, line) in table.items() if name.startswith(incomplete)
    ]
