"""Certificates of the tests' own: an authority, and what it signs; made with ``openssl``."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

MISSING = "Certificates are made with openssl, which is not installed: apt-get install openssl"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_SIGNS = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
HERE = ("DNS:localhost", "IP:127.0.0.1")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a server shows: its certificate, and the key that proves it is its own."""

    certificate: Path
    key: Path


class Authority:
    """Somebody who signs certificates; ``file`` is what those have who trust it."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self.file = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        extensions = [word for one in _SIGNS for word in ("-addext", one)]
        out = ("-keyout", str(self._key), "-out", str(self.file))
        _openssl("req", "-x509", *_KEY, "-subj", f"/CN={name}", "-days", "2", *extensions, *out)

    def sign(self, name: str, names: tuple[str, ...] = HERE, days: int = 2) -> Shown:
        """A certificate for a server's names; ``days`` below nought have passed already."""
        asked, signed = self._folder / f"{name}.csr", self._folder / f"{name}.pem"
        key = self._folder / f"{name}.key"
        alternative = f"subjectAltName={','.join(names)}"
        out = ("-keyout", str(key), "-out", str(asked))
        _openssl("req", "-new", *_KEY, "-subj", f"/CN={name}", "-addext", alternative, *out)
        by = ("-CA", str(self.file), "-CAkey", str(self._key), "-copy_extensions", "copy")
        days_ = ("-days", str(days), "-in", str(asked), "-out", str(signed))
        _openssl("x509", "-req", *by, *days_)
        return Shown(signed, key)


def _openssl(*words: str) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise RuntimeError(MISSING)
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {words[0]}: {done.stderr[-500:]}")
