"""Why TLS failed is found behind whatever a library made of it."""

import ssl
from pathlib import Path

import pytest

from orderkeep.adapters.trust import NobodyToTrust, trusting, why_not
from orderkeep.intake import sentences as say


def verified_as(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "unsuitable certificate purpose"
    return error


def test_what_is_wrong_is_found_behind_the_librarys_error() -> None:
    wrapped = ConnectionError("no connection")
    wrapped.__cause__ = verified_as(10)

    assert why_not(wrapped) == say.CERTIFICATE_EXPIRED()
    assert why_not(verified_as(26)) == say.CERTIFICATE_WRONG(quote="unsuitable certificate purpose")
    assert why_not(ConnectionError("refused")) is None
    assert why_not(None) is None


def test_errors_that_came_from_each_other_come_to_an_end() -> None:
    """A RabbitMQ that is killed leaves such a ring behind: the process looked at it for ever."""
    first, second = ConnectionError("closed"), RuntimeError("closed too")
    first.__cause__, second.__cause__ = second, first

    assert why_not(first) is None


def test_a_certificate_and_its_name_are_asked_for(tmp_path: Path) -> None:
    context = trusting(None)
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED

    with pytest.raises(NobodyToTrust):
        trusting(tmp_path / "nowhere.pem")
