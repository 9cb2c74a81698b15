"""Outputs that would be the same file, on disks of every kind: the case probe is injected, or runs on this disk."""

import os
import sys
import unicodedata
from functools import partial
from pathlib import Path
from unittest import mock

import pytest
from support.running import names, save

from upsample_cli.batch import collisions
from upsample_cli.batch.collisions import NameEquivalence, name_equivalence
from upsample_cli.batch.inputs import find_inputs
from upsample_cli.batch.outputs import outputs_of
from upsample_cli.batch.plan import plan_run
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import UsageError

pytestmark = [
    pytest.mark.usefixtures("in_tmp_path"),
    pytest.mark.skipif(os.name == "nt", reason="needs a disk that tells names apart"),
]

EXACT, NO_CASE, NO_FORMS = NameEquivalence(False, False), NameEquivalence(True, False), NameEquivalence(False, True)
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))


def plan(*arguments, equivalence, output="out/", **options):
    asked = []

    def ask(folder, *, may_write):
        asked.append(folder)
        return equivalence

    found = list(find_inputs(arguments, recursive=False))
    with mock.patch.object(collisions, "name_equivalence", ask):
        entries = plan_run(found, outputs_of(output, found), Options(**options))
    return entries, asked


@pytest.mark.parametrize(
    ("inputs", "equivalence", "is_refused"),
    [
        (("d/A.png", "e/a.png"), EXACT, False),
        (("d/A.png", "e/a.png"), NO_CASE, True),
        (("d/A.png", "e/a.png"), NO_FORMS, False),
        ((f"d/{COMPOSED}.png", f"e/{DECOMPOSED}.png"), NO_CASE, False),
        ((f"d/{COMPOSED}.png", f"e/{DECOMPOSED}.png"), NO_FORMS, True),
        (("d/a.png", "e/b.png"), NameEquivalence(True, True), False),
    ],
)
def test_outputs_that_the_disk_cannot_tell_apart_are_refused(inputs, equivalence, is_refused):
    for seed, name in enumerate(inputs):
        save(name, (2, 3), seed=seed)
    if not is_refused:
        assert [entry.result.status for entry in plan(*inputs, equivalence=equivalence)[0]] == ["planned"] * 2
        return
    with pytest.raises(
        UsageError, match=r"would both be written to .* and .*, which are the same file there"
    ) as refused:
        plan(*inputs, equivalence=equivalence)
    assert all(name in str(refused.value) for name in inputs)


def test_an_output_that_is_an_input_in_another_spelling_is_refused():
    save("a.png", (2, 3))
    save("A_X2.png", (2, 3), seed=1)
    for equivalence, is_refused in ((EXACT, False), (NO_CASE, True)):
        call = partial(plan, "a.png", "A_X2.png", equivalence=equivalence, output=None, overwrite=True)
        if is_refused:
            with pytest.raises(UsageError, match=r"a_x2\.png is the input A_X2\.png under another name"):
                call()
        else:
            assert len(call()[0]) == 2


def test_the_disk_is_probed_only_if_names_could_collide():
    for seed, name in enumerate(("d/a.png", "d/b.png", "e/B.png")):
        save(name, (2, 3), seed=seed)
    assert plan("d/a.png", "d/b.png", equivalence=EXACT)[1] == []
    assert plan("d/b.png", "e/B.png", equivalence=EXACT)[1] == [Path.cwd() / "out"]


def test_the_disk_is_probed_by_existing_names_or_a_temporary_file(monkeypatch):
    """Compared with what the disk does with two names created here."""
    Path("probe").mkdir()
    Path("probe/é").touch()
    expected = NameEquivalence(Path("PROBE").exists(), Path(f"probe/{DECOMPOSED}").exists())
    before = names(".")
    for may_write in (False, True):
        assert name_equivalence(Path("probe/new/er"), may_write=may_write).case == expected.case
    assert name_equivalence(Path("probe"), may_write=False) == expected
    Path("0").mkdir()
    monkeypatch.setattr(sys, "platform", "darwin")
    guess = name_equivalence(Path("0"), may_write=False)
    # Nothing in the folder shows it, and macOS usually ignores both.
    assert guess == NameEquivalence(case=True, forms=True)
    if not expected.case:
        assert name_equivalence(Path("0"), may_write=True) == expected
    assert names(".") == before


def test_a_disk_that_ignores_case_is_detected(monkeypatch):
    Path("d").mkdir()
    Path("d/Name é.txt").touch()
    monkeypatch.setattr(collisions, "_is_one", lambda _folder, name, other: name.casefold() == other.casefold())
    assert name_equivalence(Path("d"), may_write=False) == NameEquivalence(case=True, forms=False)
