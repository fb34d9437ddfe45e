"""The files beside the program that are made from it: completions, man pages, the schema."""

from __future__ import annotations

import json

_COMPLETIONS = {
    "bash": "share/bash-completion/completions/signerd",
    "zsh": "share/zsh/site-functions/_signerd",
    "fish": "share/fish/vendor_completions.d/signerd.fish",
}


def files() -> dict[str, str]:
    """Path in the repository → text. What is in share/ is installed with the wheel."""
    from signerd.cli import completion, config, manpage

    made = {path: completion.script(shell) + "\n" for shell, path in _COMPLETIONS.items()}
    for name, text in manpage.pages().items():
        made[f"share/man/man{name[-1]}/{name}"] = text
    made["docs/config.schema.json"] = json.dumps(config.made_schema(), indent=2, ensure_ascii=False) + "\n"
    return made
