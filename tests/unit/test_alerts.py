"""Every alert fires when it has to, waits when it may, and says which page to open."""

import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "prometheus"
FILES = sorted(DEPLOY.glob("*.rules.yml"))
TESTS = DEPLOY / "orderkeep.tests.yml"
RULES: list[dict[str, Any]] = [
    rule
    for path in FILES
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
NAMES = [f"{rule['alert']} {rule['labels']['severity']}" for rule in RULES]


@pytest.fixture(scope="module")
def promtool() -> str:
    """Prometheus' own program for looking at rules: the system's, or what `make test` unpacked."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("promtool") or shutil.which("promtool", path=beside)
    if found is None:
        pytest.fail("There is no promtool to try the alerts with: apt-get install prometheus")
    return found


def asked(*call: object) -> tuple[int, str]:
    """How it ended, and whatever it said."""
    done = subprocess.run([*map(str, call)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_prometheus_takes_every_rule(promtool: str) -> None:
    code, said = asked(promtool, "check", "rules", "--lint-fatal", *FILES)

    assert code == 0, said
    assert sum(map(int, re.findall(r"(\d+) rules found", said))) == len(RULES)


@pytest.mark.parametrize("kind", ["compose", "systemd"])
def test_prometheus_takes_how_it_is_told_to_scrape_and_finds_every_rule(
    promtool: str, kind: str
) -> None:
    code, said = asked(promtool, "check", "config", DEPLOY / f"prometheus.{kind}.yml")

    assert code == 0, said
    assert f"{len(FILES)} rule files found" in said


def test_every_alert_fires_when_it_has_to_and_not_before(promtool: str) -> None:
    code, said = asked(promtool, "test", "rules", TESTS)

    assert code == 0, said


def test_a_rule_that_fires_too_early_is_seen(promtool: str, tmp_path: Path) -> None:
    """The test above is one that can fail."""
    copy = shutil.copytree(DEPLOY, tmp_path / "prometheus")
    delivery = copy / "orderkeep-delivery.rules.yml"
    text = delivery.read_text(encoding="utf-8")
    delivery.write_text(text.replace("oldest_seconds) > 60", "oldest_seconds) > 6"), "utf-8")

    code, said = asked(promtool, "test", "rules", copy / TESTS.name)

    assert code == 1
    assert "OrderkeepOutboxLag" in said


def test_every_alert_is_tried_while_it_fires_and_while_it_does_not() -> None:
    tried: dict[tuple[str, str], set[bool]] = defaultdict(set)
    for one in yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]:
        for step in one.get("promql_expr_test", ()):
            [name] = re.findall(r'alertname="(\w+)"', step["expr"])
            fired = "".join(sample["labels"] for sample in step["exp_samples"])
            for severity in re.findall(r'severity="(\w+)"', fired) or ("page", "ticket"):
                tried[name, severity].add(bool(fired))

    for rule in RULES:
        assert tried[rule["alert"], rule["labels"]["severity"]] == {True, False}, rule["alert"]


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_says_what_it_is_whose_and_where_to_look(rule: dict[str, Any]) -> None:
    pages = set(re.findall(r'"(/[a-z/-]+)"', (ROOT / "web/src/router.ts").read_text("utf-8")))
    told = rule["annotations"]

    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["labels"]["owner"]
    assert re.fullmatch(r"\d+[smh]", rule["for"])
    assert set(told) == {"summary", "description"}
    [page] = re.findall(r"\((/[^)]*)\)", told["description"])
    assert page in pages


def test_the_rule_on_the_quarantine_waits_for_nothing() -> None:
    """What is put aside has to be told within a minute."""
    path = DEPLOY / "orderkeep-quarantine.rules.yml"
    [group] = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    [rule] = group["rules"]

    assert (group["interval"], rule["for"]) == ("15s", "0s")
