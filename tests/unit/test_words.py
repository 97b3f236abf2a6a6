"""What the office refuses in English, its screens say in Russian: nothing is left out."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "src/orderkeep/orders"
RUSSIAN = ROOT / "web/src/shared/i18n/refusals.ts"
REFUSED = re.compile(r"TransitionRefused\(\s*\w+,\s*[\w\"-]+,\s*\"([^\"{]+)\"")
REASON = re.compile(r"^ +reason = \"([^\"]+)\"$", re.MULTILINE)
FOR_PROGRAMS = frozenset(
    {
        "An order has 1 to 50 positions.",
        "Each position needs a model file or a sku.",
        "Only a draft can be edited.",
        "Priority goes from 1, most urgent, to 9.",
        "That is not the current work order.",
        "The outcome replace names a new order, and no other does.",
    }
)
"""The screens ask for nothing that these refuse."""


def test_every_refusal_of_the_lifecycle_has_its_russian_sentence() -> None:
    rules = "".join(path.read_text("utf-8") for path in sorted(RULES.glob("*.py")))
    said = set(REFUSED.findall(rules)) | set(REASON.findall(rules))
    known = set(re.findall(r"^  \"([^\"]+)\":", RUSSIAN.read_text("utf-8"), re.MULTILINE))

    assert len(said) > 20
    assert said - known - FOR_PROGRAMS == set()
