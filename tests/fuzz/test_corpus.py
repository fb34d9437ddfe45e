"""Every input that is kept, played without a fuzzer: the targets stay sound, and old findings stay mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz import codec, entry_point
from signerd.store.state_db import StateDb

CORPUS = Path(__file__).resolve().parent / "corpus"
TARGETS = {"codec": codec.check, "entry_point": entry_point.check}


@pytest.mark.parametrize("name", TARGETS)
def test_every_input_of_the_corpus_keeps_the_promises(name):
    inputs = sorted((CORPUS / name).iterdir())
    assert len(inputs) > 100
    for path in inputs:
        try:
            TARGETS[name](path.read_bytes())
        except Exception as problem:
            problem.add_note(f"the input is {path}")
            raise


def test_every_made_life_keeps_the_promises():
    for choices in entry_point.after_openings():
        entry_point.check(choices)


def test_the_store_leads_to_the_same_answers_as_memory(tmp_path):
    for number, path in enumerate(sorted((CORPUS / "entry_point").iterdir())[::8]):
        with StateDb(tmp_path / f"{number}.db") as store:
            entry_point.check(path.read_bytes(), store)


def test_the_corpus_stays_small():
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 600_000
