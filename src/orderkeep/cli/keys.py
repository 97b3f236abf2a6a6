"""``orderkeep keys``: the keys that partners sign their calls with."""

from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from orderkeep.access.keys import ApiKey, Quota, parse_quota
from orderkeep.access.registry import Registry
from orderkeep.cli.groups import group
from orderkeep.cli.registry import ACTOR, with_registry
from orderkeep.kernel.errors import Fault, Invalid

app = group("Keys that partners sign their calls with.")


@app.command()
def create(
    partner: Annotated[str, typer.Option(help="Whose key; a new name adds a partner.")],
    rate: Annotated[
        str | None, typer.Option(help="Calls allowed: 20/s, 100/min or 5000/h.")
    ] = None,
    auto_approve_below: Annotated[
        str | None, typer.Option(help="Orders below this amount need no seller.")
    ] = None,
) -> None:
    """Make a key. It is printed alone on the last line, this once, and kept as a hash only."""

    async def make(registry: Registry) -> tuple[str, ApiKey]:
        quota = parse_quota(rate) if rate else Quota()
        below = None if auto_approve_below is None else _amount(auto_approve_below)
        return await registry.create_key_for(ACTOR, partner.strip(), quota, below)

    key, kept = with_registry(make)
    print(f"{kept.quota.rate} calls in {kept.quota.per_seconds} s; shown this once:")
    print(key)


@app.command(name="list")
def list_keys() -> None:
    """Print every key: partner, id, beginning, quota, and whether it is revoked."""
    for partner, keys in with_registry(lambda registry: registry.partners()):
        for key in keys:
            state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else "valid"
            quota = f"{key.quota.rate}/{key.quota.per_seconds}s"
            print("\t".join([partner.name, key.id, f"{key.hint}…", quota, state]))


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The key's id, as listed.")]) -> None:
    """Make a key worthless from now on."""
    key = with_registry(lambda registry: registry.revoke_key(ACTOR, key_id))
    print(f"{key.hint}… is revoked.")


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise Invalid([Fault("/auto-approve-below", "format", "must be an amount, like 5000")])
    return amount
