"""The door against its own description: whatever the document allows or forbids, never a 500.

``make fuzz`` runs a thousand examples an operation; ``make test`` a seeded hundred or less.
"""

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import CheckContext, not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from orderkeep.http.door.openapi import openapi
from orderkeep.testing.door import DoorUnderTest

EXAMPLES = int(os.environ.get("ORDERKEEP_FUZZ_EXAMPLES", "40"))


def rejects_bodies_that_the_document_forbids(
    context: CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> bool | None:
    """Any 4xx is a refusal; what is wrong with a query may be lost before it is sent."""
    wrong_body = case.meta is not None and case.meta.is_negative_at(ParameterLocation.BODY)
    if not wrong_body or 400 <= response.status_code < 500:
        return None
    return negative_data_rejection(context, response, case)


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    rejects_bodies_that_the_document_forbids,
    ignored_auth,
    unsupported_method,
]

schema = schemathesis.openapi.from_dict(openapi())


@pytest.fixture(scope="module")
def key(door: DoorUnderTest) -> str:
    return door.partner("Fuzz").key


def test_the_document_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(openapi()).validate()


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_schemathesis_finds_no_fault(
    case: schemathesis.Case[Any], door: DoorUnderTest, key: str
) -> None:
    case.call_and_validate(
        base_url=f"http://127.0.0.1:{door.port}",
        headers={"Authorization": f"Bearer {key}"},
        checks=CHECKS,
    )
