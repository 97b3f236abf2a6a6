"""The known defects fit the code as it is; that each is caught is seen by ``make defects``."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DEFECTS = load(ROOT / "scripts" / "defects.py")
NAMES = sorted(path.stem for path in DEFECTS.PATCHES.glob("*.patch"))


def test_every_rule_has_a_defect() -> None:
    assert {one.rule for one in DEFECTS.known()} == DEFECTS.RULES.keys()


def test_the_document_of_reliability_tells_of_every_defect_and_of_the_rule_it_breaks() -> None:
    told = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")

    for one in DEFECTS.known():
        assert one.breaks in told
        assert DEFECTS.RULES[one.rule] in told


@pytest.mark.parametrize("name", NAMES)
def test_a_defect_can_still_be_planted(name: str) -> None:
    """Once the code that it breaks has changed, so must the patch; ``git apply`` says where."""
    DEFECTS.apply(name, ROOT, "--check")


@pytest.mark.parametrize("name", NAMES)
def test_a_defect_says_what_it_breaks_and_which_tests_must_see_it(name: str) -> None:
    defect = DEFECTS.read(DEFECTS.PATCHES / f"{name}.patch")

    assert defect.breaks.endswith(".")
    assert defect.caught_by
    for test in defect.caught_by:
        path, _, function = test.partition("::")
        assert f"def {function}(" in (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "said, caught",
    [
        ({"a": "AssertionError: assert 2 == 1", "b": "Failed: DID NOT RAISE"}, True),
        ({"a": "AssertionError('lost')", "b": "assert [] == ['e1']"}, True),
        ({"a": "assert 2 == 1", "b": "TimeoutError"}, False),
        ({"a": "assert 2 == 1"}, False),
        ({"a": "assert 2 == 1", "b": "ImportError: cannot import name 'reach'"}, False),
        ({}, False),
        ({"": "did not run"}, False),
    ],
)
def test_a_defect_is_caught_if_every_test_misses_what_was_promised(
    said: dict[str, str], *, caught: bool
) -> None:
    assert (DEFECTS.missed(["a", "b"], said) == "") is caught
