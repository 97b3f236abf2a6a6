#!/usr/bin/env python3
"""Make web/package-lock.json work behind every mirror: complete, and without any address.

npm leaves out packages for other platforms that its index did not offer while locking, and then
refuses (`npm ci`) the lock it wrote. Their names say the platform, which is all npm needs to pass
them by; on that platform npm takes them in the version their parent asks for.
"""

import json
from pathlib import Path

LOCK = Path(__file__).parents[1] / "web/package-lock.json"
SYSTEMS = {"aix", "android", "darwin", "freebsd", "linux", "openbsd", "openharmony", "win32"}
PROCESSORS = {"arm", "arm64", "ia32", "loong64", "ppc64", "riscv64", "s390x", "wasm32", "x64"}


def main() -> None:
    """Rewrite the lock file where it names an address or lacks a package of another platform."""
    lock = json.loads(LOCK.read_text(encoding="utf-8"))
    packages = lock["packages"]
    for package in packages.values():
        if not package.get("link"):
            package.pop("resolved", None)
    for parent in list(packages):
        for name, version in packages[parent].get("optionalDependencies", {}).items():
            if not is_locked(packages, parent, name):
                packages[f"node_modules/{name}"] = elsewhere(
                    name, version, packages[parent].get("license")
                )
    lock["packages"] = dict(sorted(packages.items()))
    LOCK.write_text(json.dumps(lock, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def is_locked(packages: dict[str, object], parent: str, name: str) -> bool:
    """Look where Node would: beside the parent, then in each folder above it."""
    folder = parent
    while folder:
        if f"{folder}/node_modules/{name}" in packages:
            return True
        folder = folder.rpartition("/node_modules/")[0]
    return f"node_modules/{name}" in packages


def elsewhere(name: str, version: str, licence: str | None) -> dict[str, object]:
    """An entry for a package that another platform needs; its licence is its parent's."""
    name_words = set(name.rpartition("/")[2].split("-"))
    systems, processors = sorted(name_words & SYSTEMS), sorted(name_words & PROCESSORS)
    if not systems and not processors:
        raise SystemExit(f"{name} {version} is in no index and its name says no platform")
    platform = {"os": systems, "cpu": processors}
    entry: dict[str, object] = {"version": version, "license": licence, "optional": True}
    return entry | {key: words for key, words in platform.items() if words}


main()
