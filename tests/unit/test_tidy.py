"""What keeps the house in order: each check is a rule a reader may rely on, with its reason."""

import ast
import importlib
import json
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import orderkeep
from orderkeep.http.problems import PROBLEMS
from orderkeep.kernel.errors import Conflict, OrderkeepError, Refused, Unavailable, Uncertain

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "orderkeep"
FAMILIES = {OrderkeepError, Refused, Conflict, Unavailable, Uncertain}

# Nothing above HTTP can raise into it: these call us, or stand beside us.
NEVER_BELOW_HTTP = ("bench", "cli", "practice", "roles", "testing")
STAYS_INSIDE = {
    "AlreadyRunning": "stops the process before it serves anybody",
    "CannotLook": "ends `orderkeep doctor`, which looks at a broker from outside",
    "BatchLost": "the writer tells each waiting caller what became of his own part",
    "CannotRead": "the same, which may read a broker's papers instead",
    "CommitFailed": "becomes CommitOutcomeUnknown before it leaves the store",
    "CrmOutcomeUnknown": "becomes the state of an order's way to the CRM",
    "CrmRejected": "the same, and waits for a person",
    "CrmUnavailable": "the same; the gate rests",
    "LeaseLost": "ends a worker's hold on a row; nobody waits for an answer",
    "NotAnEnvelope": "goes to quarantine with the message it is about",
    "UnknownMessage": "told beside the message of a present system that it is about",
    "NotMapped": "told beside the message of a present system that it is about",
    "UnknownOrder": "told beside the message of a present system that it is about",
    "NotOurs": "the same, for a CloudEvent",
    "NotShown": "the way back looks again, and in the end asks a person",
    "NotPriceable": "becomes a price a seller enters",
    "NotReadable": "ends `orderkeep verify` or `export`, which look at the tables from outside",
    "SchemaBehind": "stops the process before it serves anybody",
    "StoreMisconfigured": "stops the process before it serves anybody",
    "StillConsumed": "the way back waits, and says so beside its source",
    "TransportAway": "the relay keeps the row and comes back",
}
# The edges hold the clock and the dice; below them the instant and the random bits are arguments.
EDGES = ("adapters", "bench", "cli", "kernel", "practice", "roles", "testing")

CLOCKS_AND_DICE = {
    "date.today",
    "datetime.now",
    "datetime.today",
    "datetime.utcnow",
    "time.sleep",
    "time.time",
    "uuid.uuid1",
    "uuid.uuid4",
}
# A browser is driven by tests and one benchmark; whoever runs that without it is told what to get.
OF_THE_DEVELOPERS = {"playwright"}
# What a benchmark measures beside us is never in the same environment.
OF_THE_PEERS = {"celery", "dbos", "pgqueuer", "psycopg"}
PEERS = SOURCE / "bench" / "pipelines"
# Spelled in halves, so that this file is not its own finding.
UNFINISHED = re.compile(
    r"\b(TO" + r"DO|FIX" + r"ME|NotImplemented" + r"Error)\b|[#*/] *XX" + r"X\b"
)
NOT_RUN = re.compile(
    r"pytest\.(mark\.)?(sk" + r"ip|xf" + r"ail)|importor" + r"skip|unittest\.sk" + r"ip"
    r"|\b(it|test|describe)\.(sk" + r"ip|on" + r"ly|to" + r"do)\b"
)
ONE_MACHINE = re.compile(
    r"(?<![\w.$])/(ro" + r"ot|ho" + r"me/\w+|wo" + r"rk/(main|shared)|tmp/\w+)/"
    r"|(files\.python" + r"hosted|py" + r"pi)\.org|registry\.(npm" + r"js|yarn" + r"pkg)\."
)
INDEX_ADDRESS = re.compile(r"--(extra-)?index-url|--find-links|https?://|file://|git\+")

COMPATIBLE = {
    "0BSD", "APACHE-2.0", "APACHE", "BSD", "BSD-2-CLAUSE", "BSD-3-CLAUSE", "CC0-1.0", "ISC",
    "ISCL", "LLVM-EXCEPTION", "MIT", "MIT-0", "MOZILLA", "MPL-2.0", "PSF-2.0", "PYTHON-2.0",
    "UNLICENSE", "ZLIB", "BLUEOAK-1.0.0", "OFL-1.1", "CC-BY-4.0",
}  # fmt: skip
"""May be shipped beside Apache-2.0 code; MPL-2.0 reaches its own files only."""
BROUGHT_ALONG = {
    "libgfortran": "GPL-3.0 with the runtime exception: what is linked with it is free of it",
    "libllvmlite": "of llvmlite itself",
    "libquadmath": "LGPL-2.1, a file of its own that anybody may replace",
    "librdkafka": "BSD-2-Clause, with parts under Apache-2.0, MIT and zlib",
    "libscipy_openblas": "BSD-3-Clause",
}
"""Native libraries inside the wheels that we need: no field of a wheel tells of them."""
LICENCE_ELSEWHERE = {"vaul-vue": "MIT"}
"""The package names none, the LICENSE file of its source does."""


def test_every_error_that_can_leave_the_api_says_how() -> None:
    """An error without a row would reach the caller as a 500 that tells nothing."""
    unanswered = [error.__qualname__ for error in _leaves() if not _has_a_row(error)]

    assert unanswered == []


def test_every_error_that_can_leave_the_api_belongs_to_a_family() -> None:
    """The family says what the caller may do next; an error of none leaves him guessing."""
    families = tuple(FAMILIES - {OrderkeepError})

    assert [error for error in _leaves() if not issubclass(error, families)] == []


def test_only_errors_that_exist_stay_inside() -> None:
    """An exception from a rule goes when its reason goes."""
    assert STAYS_INSIDE.keys() - {error.__qualname__ for error in _all_leaves()} == set()


def test_every_package_says_what_it_promises() -> None:
    """A reader opens a folder at its ``__init__`` and finds a paragraph there."""
    silent = [
        str(folder.relative_to(SOURCE))
        for folder in {path.parent for path in SOURCE.rglob("*.py")}
        if not (folder / "__init__.py").exists() or not _docstring(folder / "__init__.py")
    ]

    assert silent == []


def test_only_the_edges_hold_a_clock_or_dice() -> None:
    """A decision that reads the clock cannot be replayed, simulated or explained afterwards."""
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in SOURCE.rglob("*.py")
        if path.relative_to(SOURCE).parts[0] not in EDGES
        for name in _clocks_and_dice(ast.parse(path.read_text(encoding="utf-8")))
    ]

    assert found == []


def test_nothing_is_left_for_later() -> None:
    """What is unfinished stands in an issue, where somebody sees it; code in main is done."""
    assert _findings(UNFINISHED, _code()) == []


def test_every_test_is_run() -> None:
    """A test that does not run promises what nobody checked."""
    tests = [path for path in _code() if path.is_relative_to(ROOT / "tests") or "test" in path.name]

    assert _findings(NOT_RUN, tests) == []


def test_no_file_knows_whose_machine_it_was_written_on() -> None:
    """A newcomer has other folders, and perhaps a mirror instead of the public registries."""
    assert _findings(ONE_MACHINE, _committed()) == []


def test_we_depend_on_what_we_import_and_on_nothing_else() -> None:
    """A package nobody imports is weight and risk; one that came along by chance may leave."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, tools = settings["project"], settings["dependency-groups"]["dev"]
    extras = [line for lines in project.get("optional-dependencies", {}).values() for line in lines]
    declared = {Requirement(line).name for line in [*project["dependencies"], *extras]}

    peers = {Requirement(line).name for line in settings["dependency-groups"]["peers"]}
    ours = [path for path in SOURCE.rglob("*.py") if not path.match("*/pipelines/*_peer.py")]
    assert declared == _imported_packages(ours) - OF_THE_DEVELOPERS
    assert _imported_packages(PEERS.glob("*_peer.py")) >= OF_THE_PEERS
    assert peers >= OF_THE_PEERS
    assert {Requirement(line).name for line in tools if isinstance(line, str)} >= OF_THE_DEVELOPERS


def test_lock_files_pin_hashes_and_name_no_index() -> None:
    """The hash says which package; where it comes from is the newcomer's business."""
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        text = lock.read_text(encoding="utf-8")
        packages = re.findall(r"^[a-z0-9].*", text, re.MULTILINE)
        assert packages, lock
        assert all("==" in package and package.endswith("\\") for package in packages), lock
        assert INDEX_ADDRESS.search(text) is None, lock
    assert INDEX_ADDRESS.findall(_web_lock_without_metadata()) == []


@pytest.mark.parametrize("lock", ["run", "uv"])
def test_every_package_we_ship_with_has_a_compatible_licence(lock: str) -> None:
    """We are Apache-2.0; what we need must not take that freedom away."""
    incompatible = {
        requirement.name: _licence(requirement.name)
        for requirement in _locked(lock)
        if not _is_compatible(_licence(requirement.name))
    }

    assert incompatible == {}


@pytest.mark.parametrize("lock", ["run", "uv"])
def test_every_library_that_a_package_brings_along_was_looked_at(lock: str) -> None:
    """A wheel says what its own licence is, and may bring a library of another along."""
    unknown = {
        f"{requirement.name}: {library}"
        for requirement in _locked(lock)
        for library in _brought_along(requirement.name)
        if not library.startswith(tuple(BROUGHT_ALONG))
    }

    assert unknown == set()


@pytest.mark.parametrize("lock", ["run", "uv", "dev"])
def test_what_the_tests_postgres_comes_from_never_ships(lock: str) -> None:
    """It brings GNU readline along (decision 23), so it has a lock file of its own."""
    ours = {requirement.name for requirement in _locked("postgres")}

    assert ours
    assert ours.isdisjoint(requirement.name for requirement in _locked(lock))


def test_every_web_package_we_ship_has_a_compatible_licence() -> None:
    """The same for what the browser gets."""
    packages = json.loads((ROOT / "web/package-lock.json").read_text(encoding="utf-8"))["packages"]
    licences = {
        name: LICENCE_ELSEWHERE.get(name) or package.get("license", "none stated")
        for path, package in packages.items()
        if (name := path.rpartition("node_modules/")[2])
        if not package.get("dev") and not package.get("link")
    }
    incompatible = {name: said for name, said in licences.items() if not _is_compatible(said)}

    assert incompatible == {}


def _leaves() -> list[type[OrderkeepError]]:
    """Every error that can reach HTTP."""
    return [error for error in _all_leaves() if error.__qualname__ not in STAYS_INSIDE]


def _all_leaves() -> list[type[OrderkeepError]]:
    """Every error without children that the modules below HTTP, and HTTP itself, define."""
    for module in pkgutil.walk_packages(orderkeep.__path__, "orderkeep."):
        folders = module.name.split(".")[1:]
        # Alembic runs its migrations as scripts, in a context of its own.
        if folders[0] not in NEVER_BELOW_HTTP and "migrations" not in folders:
            importlib.import_module(module.name)
    return [
        error
        for error in _descendants(OrderkeepError)
        if not error.__subclasses__()
        if error.__module__.startswith("orderkeep.")
        if error.__module__.split(".")[1] not in NEVER_BELOW_HTTP
    ]


def _descendants(error: type[OrderkeepError]) -> Iterator[type[OrderkeepError]]:
    for child in error.__subclasses__():
        yield child
        yield from _descendants(child)


def _has_a_row(error: type[OrderkeepError]) -> bool:
    return any(ancestor in PROBLEMS for ancestor in error.__mro__ if ancestor not in FAMILIES)


def _docstring(path: Path) -> str | None:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def _clocks_and_dice(tree: ast.AST) -> Iterator[str]:
    """Dotted names below ``tree`` that read a clock or throw dice, however they were imported."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Attribute):
            names = [".".join(ast.unparse(node).split(".")[-2:])]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name for name in names if _is_clock_or_dice(name))


def _is_clock_or_dice(name: str) -> bool:
    # A Random that was handed in is an argument like any other.
    is_dice = name.startswith("random.") and name != "random.Random"
    return is_dice or name in CLOCKS_AND_DICE


def _imported_packages(files: Iterable[Path]) -> set[str]:
    """Distributions whose modules these files import, as pyproject.toml spells them."""
    owners = metadata.packages_distributions()
    modules = {
        name.partition(".")[0]
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in _imported_modules(node)
    }
    foreign = modules - set(sys.stdlib_module_names) - {"orderkeep"}
    return {owners.get(name, [name])[0].lower().replace("_", "-") for name in foreign}


def _imported_modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []


def _committed() -> list[Path]:
    """The files git keeps or would keep, without npm's lock, which has a check of its own."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    except (FileNotFoundError, subprocess.CalledProcessError):
        paths = _not_ignored()  # unpacked from an archive, or on a machine without git
    return [path for path in paths if path.is_file() and path.name != "package-lock.json"]


def _not_ignored() -> list[Path]:
    ignored = [".git", *(ROOT / ".gitignore").read_text(encoding="utf-8").split()]
    ignored = [pattern.rstrip("/") for pattern in ignored]

    def is_ignored(path: Path) -> bool:
        place = path.relative_to(ROOT)
        return any(fnmatch(place.name, one) or fnmatch(str(place), one) for one in ignored)

    def below(folder: Path) -> Iterator[Path]:
        for path in folder.iterdir():
            if not is_ignored(path):
                yield from below(path) if path.is_dir() else [path]

    return list(below(ROOT))


def _code() -> list[Path]:
    suffixes = {"", ".js", ".py", ".sh", ".ts", ".vue"}
    return [path for path in _committed() if path.suffix in suffixes]


def _findings(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in paths
        for number, line in enumerate(_lines(path), start=1)
        if pattern.search(line)
    ]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return []  # A picture or a model file says nothing about machines.


def _web_lock_without_metadata() -> str:
    """The parts of npm's lock that could say where a package comes from."""
    packages = json.loads((ROOT / "web/package-lock.json").read_text(encoding="utf-8"))["packages"]
    return "\n".join(package.get("resolved", "") for package in packages.values())


def _locked(lock: str) -> list[Requirement]:
    text = (ROOT / f"requirements/{lock}.txt").read_text(encoding="utf-8")
    lines = re.findall(r"^([a-z0-9].*?)\s*\\$", text, re.MULTILINE)
    requirements = [Requirement(line) for line in lines]
    return [found for found in requirements if found.marker is None or found.marker.evaluate()]


def _brought_along(name: str) -> set[str]:
    """Native libraries in a package that are no modules of Python."""
    files = metadata.files(name) or []
    return {file.name for file in files if re.match(r"lib[^/]*\.(so|dylib)", file.name)}


def _licence(name: str) -> str:
    """What a package says its licence is: the new field, the classifiers, or the old field."""
    described = metadata.metadata(name)
    classifiers = described.get_all("Classifier") or []
    named = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License ::")]
    expression, old = (described.json.get(field) for field in ("license_expression", "license"))
    return str(expression or " OR ".join(named) or old or "none stated").splitlines()[0]


def _is_compatible(licence: str) -> bool:
    """Whether every part joined by AND has at least one choice that we may ship with."""
    return all(
        any(_first_word(choice) in COMPATIBLE for choice in part.split(" OR "))
        for part in re.sub(r"[()]", "", licence).upper().split(" AND ")
    )


def _first_word(licence: str) -> str:
    return licence.strip().partition(" ")[0]
