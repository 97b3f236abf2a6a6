"""What lies under deploy/ fits the program: its roles, its users, its time to drain."""

import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from orderkeep.adapters.sql.postgres.grants import ROLES, user
from orderkeep.config import load
from orderkeep.roles.parent import SCALED
from orderkeep.roles.run import DRAIN

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FOREIGN = {"postgres", "rabbitmq", "migrate"}
ALONE = tuple(role for role in ROLES if role != "office")
"""Those who have no office to tell their numbers at."""
UNIT = (DEPLOY / "systemd" / "orderkeep@.service").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    text = (DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8")
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


@pytest.mark.parametrize("role", ROLES)
def test_every_role_is_a_container_with_its_own_user(compose: dict[str, Any], role: str) -> None:
    service = compose["services"][role]

    assert set(compose["services"]) == {*FOREIGN, *ROLES}
    assert service["command"] == ["run", "--role", role]
    assert f"//{user(role)}@" in service["environment"]["ORDERKEEP_DATABASE_URL"]
    assert {"source": role, "target": "database_password"} in service["secrets"]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert int(service["stop_grace_period"].removesuffix("s")) > DRAIN.total_seconds()


def test_the_door_has_no_way_to_the_mes_and_the_broker(compose: dict[str, Any]) -> None:
    services = compose["services"]

    assert set(services["door"]["networks"]) == {"public", "store"}
    assert "broker" not in str(services["door"]["secrets"])
    outside = {name for name in services if "outside" in services[name]["networks"]}
    assert outside == {"bridge", "courier"}
    assert all(compose["networks"][name]["internal"] for name in ("store", "carry"))


def test_no_secret_stands_in_what_docker_shows(compose: dict[str, Any]) -> None:
    settings = [str(one.get("environment", "")) for one in compose["services"].values()]

    assert not re.search(r"//[^@/\s]+:[^@/\s]+@", " ".join(settings))
    assert [line for line in settings if re.search(r"PASSWORD(?!_FILE)", line)] == []


def test_every_secret_is_made_once_and_for_its_owner_only(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    place = tmp_path / "compose"
    shutil.copytree(DEPLOY / "compose", place, ignore=shutil.ignore_patterns("secrets"))
    make = ["sh", str(place / "make-secrets")]

    done = subprocess.run(make, check=True, capture_output=True, text=True)
    first = {path: path.read_bytes() for path in place.rglob("secrets/**/*") if path.is_file()}
    subprocess.run(make, check=True)

    assert all(path.read_bytes() == kept for path, kept in first.items())
    assert {place / one["file"] for one in compose["secrets"].values()} == set(first)
    assert (place / "secrets").stat().st_mode & 0o077 == 0
    assert done.stdout == done.stderr == ""
    assert len(set(first.values())) == len(first)


def test_systemd_waits_until_everything_is_drained() -> None:
    [stop] = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)

    assert timedelta(seconds=int(stop)) > DRAIN
    assert f"//{user('%i')}@" in UNIT


@pytest.mark.parametrize("role", SCALED)
def test_systemd_holds_the_port_of_every_role_that_listens(role: str) -> None:
    unit = (DEPLOY / "systemd" / f"orderkeep@{role}.socket").read_text(encoding="utf-8")
    sample = (DEPLOY / "systemd" / "orderkeep.env").read_text(encoding="utf-8")
    several = DEPLOY / "systemd" / f"orderkeep@{role}.service.d" / "workers.conf"
    prefix = "ORDERKEEP_" if role == "door" else "ORDERKEEP_OFFICE_"
    host, port = (
        re.findall(rf"^{prefix}{what}=(.+)$", sample, re.MULTILINE)[0] for what in ("HOST", "PORT")
    )

    assert f"\nListenStream={host}:{port}\n" in unit
    assert f"\nFileDescriptorName={role}\n" in unit
    assert "run --role %i --workers 2\nExecReload=/bin/kill -HUP" in several.read_text("utf-8")


@pytest.mark.parametrize("role", ALONE)
def test_a_container_tells_its_numbers_inside_the_networks_only(
    compose: dict[str, Any], role: str
) -> None:
    service = compose["services"][role]
    port = service["environment"]["ORDERKEEP_METRICS_PORT"]

    assert service["environment"]["ORDERKEEP_METRICS_HOST"] == "0.0.0.0"  # of the container
    assert port not in str(service.get("ports", ""))
    assert "store" in service["networks"]
    assert compose["networks"]["store"]["internal"]


@pytest.mark.parametrize("role", ALONE)
def test_a_unit_tells_its_numbers_on_the_loopback_only(role: str, tmp_path: Path) -> None:
    settings, strangers = load(told_to(role), tmp_path)

    assert strangers == []
    assert settings.metrics_host == "127.0.0.1"
    assert settings.metrics_port not in {None, settings.port, settings.office_port}
    assert "ORDERKEEP_METRICS" not in (DEPLOY / "systemd" / "orderkeep.env").read_text("utf-8")


def told_to(role: str) -> dict[str, str]:
    """What a role's unit sets on its own account."""
    text = (DEPLOY / "systemd" / f"orderkeep@{role}.service.d" / "metrics.conf").read_text("utf-8")
    [line] = re.findall(r"^Environment=(.+)$", text, re.MULTILINE)
    return dict(one.split("=", 1) for one in line.split())


def test_prometheus_asks_every_unit_at_its_own_port() -> None:
    office, roles = jobs("systemd")
    ports = {role: told_to(role)["ORDERKEEP_METRICS_PORT"] for role in ALONE}

    assert office["static_configs"] == [{"targets": ["127.0.0.1:8081"]}]
    assert {one["labels"]["role"]: one["targets"] for one in roles["static_configs"]} == {
        role: [f"127.0.0.1:{port}"] for role, port in ports.items()
    }
    assert len(set(ports.values())) == len(ALONE)


def test_prometheus_asks_every_container(compose: dict[str, Any]) -> None:
    [[office], [roles]] = (job["dns_sd_configs"] for job in jobs("compose"))
    ports = {compose["services"][role]["environment"]["ORDERKEEP_METRICS_PORT"] for role in ALONE}

    assert (office["names"], office["port"]) == (["office"], 8081)
    assert (set(roles["names"]), {str(roles["port"])}) == (set(ALONE), ports)


def jobs(name: str) -> list[dict[str, Any]]:
    """What Prometheus is told to ask."""
    text = (DEPLOY / "prometheus" / f"prometheus.{name}.yml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = yaml.safe_load(text)["scrape_configs"]
    return found


def test_the_sample_of_an_environment_is_understood(tmp_path: Path) -> None:
    lines = (DEPLOY / "systemd" / "orderkeep.env").read_text(encoding="utf-8").splitlines()
    named = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    _, strangers = load(named, tmp_path)

    assert strangers == []


def test_dockers_and_systemds_own_tools_find_nothing_or_are_named() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "check_deploy.py"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode in {0, 69}, done.stdout + done.stderr
    for line in done.stdout.splitlines():
        assert re.fullmatch(r"[\w -]+: (fine \(.+\)|not checked, .+ is missing)", line)
    assert len(done.stdout.splitlines()) == 2
