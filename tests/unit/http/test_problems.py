"""Refusals: one shape, a page for each, and nothing told back."""

import json
from datetime import timedelta

from orderkeep.http.door.openapi import OPERATIONS, methods_at, openapi
from orderkeep.http.problem_pages import PAGES, page
from orderkeep.http.problems import BUG, MAX_FAULTS, PROBLEMS, render
from orderkeep.http.refusals import MethodNotAllowed, TooManyRequests
from orderkeep.kernel.errors import Fault, Invalid, StoreBusy
from orderkeep.orders.ports import OrderNotFound


def test_every_problem_has_its_page_in_both_languages() -> None:
    slugs = {problem.slug for problem in [*PROBLEMS.values(), BUG]}

    assert set(PAGES) == slugs
    assert all(set(words) == {"ru", "en"} for words in PAGES.values())


def test_a_page_speaks_the_language_wanted_most() -> None:
    assert 'lang="ru"' in str(page("busy", "en;q=0.3, ru;q=0.8"))
    assert 'lang="en"' in str(page("busy", "fr, xx;q=nonsense"))
    assert page("unheard-of", "en") is None


def test_an_error_of_a_new_kind_is_answered_as_its_family() -> None:
    class DoorStuck(StoreBusy):
        """Nobody has given it a row."""

    answer = render(DoorStuck("stuck", retry_after=timedelta(seconds=7)), "id")

    assert answer.status == 503
    assert (b"retry-after", b"7") in answer.headers


def test_a_bug_tells_nothing_but_the_request_id() -> None:
    answer = render(KeyError("secret"), "some-id")

    assert answer.status == 500
    assert b"secret" not in answer.body
    assert json.loads(answer.body)["request_id"] == "some-id"


def test_facts_become_members_but_never_the_problem_s_own() -> None:
    answer = render(OrderNotFound("no", order_no="OK-000013", status=200, type="x"), "id")

    told = json.loads(answer.body)
    assert (told["order_no"], told["status"]) == ("OK-000013", 404)
    assert told["type"] == "/problems/order-not-found"


def test_a_thousand_faults_do_not_make_a_giant_answer() -> None:
    faults = [Fault(f"/items/{n}", "type", "must be an object") for n in range(1000)]

    told = json.loads(render(Invalid(faults), "id").body)

    assert len(told["errors"]) == MAX_FAULTS
    assert told["more_errors"] == 1000 - MAX_FAULTS


def test_refusals_carry_the_headers_that_belong_to_them() -> None:
    slow_down = render(TooManyRequests(timedelta(seconds=1.2)), "id")
    not_so = render(MethodNotAllowed(["GET", "POST"]), "id")

    assert (b"retry-after", b"2") in slow_down.headers
    assert (b"allow", b"GET, POST") in not_so.headers


def test_the_document_knows_which_methods_an_address_takes() -> None:
    assert methods_at("/v1/orders") == ["GET", "POST"]
    assert methods_at("/v1/orders/OK-000013/cancel") == ["POST"]
    assert methods_at("/nothing") == []


def test_every_operation_names_all_its_refusals() -> None:
    paths = openapi()["paths"]
    for one in OPERATIONS:
        told = paths[one.path][one.method]["responses"]

        assert {"400", "404", "405", "500"} <= set(told)
        assert ("401" in told) is not one.open
