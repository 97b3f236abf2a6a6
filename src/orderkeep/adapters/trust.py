"""Whom we believe to be who it says: a certificate for its name, signed by somebody we trust.

There is no way to ask for less. Whoever cannot be believed is not spoken to, which costs delay and
nothing else.
"""

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from orderkeep.intake import sentences as say
from orderkeep.kernel.sentences import Sentence

_WHY: Final[Mapping[int, Sentence]] = {
    9: say.CERTIFICATE_EARLY,
    10: say.CERTIFICATE_EXPIRED,
    18: say.CERTIFICATE_STRANGE,  # signed by itself
    19: say.CERTIFICATE_STRANGE,
    20: say.CERTIFICATE_STRANGE,
    21: say.CERTIFICATE_STRANGE,
    62: say.CERTIFICATE_NAME,
    64: say.CERTIFICATE_NAME,  # the same of an address in numbers
}
"""OpenSSL's codes (``X509_V_ERR_…``) of what is wrong with a certificate."""

_REASONS: Final[Mapping[str, str]] = {
    "WRONG_VERSION_NUMBER": say.NO_TLS(),
    "NO_CERTIFICATE_OR_CRL_FOUND": say.NOBODY_TO_TRUST(failure="SSLError"),
}
"""What else TLS fails for, where its setting or the port is wrong."""


class NobodyToTrust(OSError):
    """The file that names whom to trust cannot be read, or names nobody."""


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """How a TLS connection is made; certificate and name are verified, always.

    Args:
        ca_file: authorities in PEM, trusted instead of the system's; read anew each time, so that
            it may be exchanged without a restart.

    Raises:
        NobodyToTrust: the file cannot be read, or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as unread:
        raise NobodyToTrust(say.NOBODY_TO_TRUST(failure=type(unread).__name__)) from unread


def why_not(failure: BaseException | None) -> str | None:
    """Why TLS failed, in a sentence; None where the failure is not about that."""
    for one in _behind(failure):
        if isinstance(one, NobodyToTrust):
            return str(one)
        if isinstance(one, ssl.SSLCertVerificationError):
            known = _WHY.get(one.verify_code)
            return known() if known else say.CERTIFICATE_WRONG(quote=one.verify_message)
        if isinstance(one, ssl.SSLError) and one.reason in _REASONS:
            return _REASONS[one.reason]
    return None


def _behind(failure: BaseException | None) -> Iterator[BaseException]:
    """A failure, and what it came from, each once."""
    seen: list[BaseException] = []
    # A library that raises what it has kept makes a ring of them: the second came from the first.
    while failure is not None and not any(failure is one for one in seen):
        seen.append(failure)
        yield failure
        failure = failure.__cause__ or failure.__context__
