"""A file name that cannot do harm wherever it is shown, mailed or saved."""

import re
import unicodedata

MAX_LENGTH = 120
_FALLBACK = "model"
_SEPARATORS = re.compile(r"[/\\]")
_FORBIDDEN = re.compile(r'[<>:"|?*]')
# Names that mean a device on Windows, with any ending.
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def safe_name(name: str) -> str:
    """The last part of a path without characters that steer; never empty, at most 120 long."""
    last = _SEPARATORS.split(name)[-1]
    visible = "".join(" " if letter.isspace() else letter for letter in last if _is_visible(letter))
    clean = _FORBIDDEN.sub("_", " ".join(visible.split())).strip(". ")
    if _DEVICE.fullmatch(clean):
        clean = f"_{clean}"
    return _shortened(clean) or _FALLBACK


def _is_visible(letter: str) -> bool:
    return unicodedata.category(letter) not in _INVISIBLE


def _shortened(name: str) -> str:
    """Cut in the middle: the ending says what kind of file it is."""
    if len(name) <= MAX_LENGTH:
        return name
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending) > 10:
        return name[:MAX_LENGTH]
    return stem[: MAX_LENGTH - len(ending) - 1] + dot + ending
