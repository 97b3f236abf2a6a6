"""V5: one trace id from the partner's request to the MES's answer, and on every call in between."""

import re
from pathlib import Path

from orderkeep.testing.product import Keys
from orderkeep.testing.shop import Shop, running, until

PARENT = re.compile(r"00-(?P<trace>[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})-01")


def test_one_trace_leads_from_the_request_to_the_answer(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with running(tmp_path, template) as (product, mes):
        shop = Shop(product, wanted=2)
        assert product.start()
        asked = {}
        for n in range(2):
            item = {"sku": "studs-ag", "quantity": 1}
            body = {"client_ref": f"t-{n}", "items": [item], "customer": {"name": "Anna"}}
            key = {"Idempotency-Key": f"trace-{n}"}
            answer = product.ask("POST", "/v1/orders", json=body, headers=key)
            shop.receipts[f"t-{n}"] = answer.json()["order_no"]
            asked[answer.json()["order_no"]] = answer.headers["x-request-id"]
        until(lambda: mes.effects().keys() >= asked.keys(), "the MES did not get the orders")
        confirmed = "SELECT count(*) FROM deliveries WHERE state <> 'pending' AND mes_id <> ''"
        until(lambda: product.rows(confirmed) == [(2,)], "the MES's answers were not kept")
        entries = [one for one in mes.entries() if one.kind == "request"]
        kept = product.rows("SELECT DISTINCT order_n, trace_id FROM events")

    parents = [(one, PARENT.fullmatch(one.traceparent or "")) for one in entries]
    assert parents
    assert all(parent for _, parent in parents), "a call without a whole traceparent"
    sent = {
        one.reference: parent["trace"] for one, parent in parents if parent and one.op == "submit"
    }
    assert sent == asked
    assert {trace for _, trace in kept} == set(asked.values())
    spans = [parent["span"] for _, parent in parents if parent]
    assert len(set(spans)) == len(spans)
