"""Several offices that begin at the same moment, over a database that nobody has served yet."""

import asyncio
from typing import cast

from orderkeep.access.keys import OFFICE
from orderkeep.access.ports import Passwords
from orderkeep.access.registry import Registry
from orderkeep.adapters.sql.postgres.store import open_store
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.ids import Ids

OFFICES = 6
NOBODYS = cast(Passwords, None)  # Nobody signs in here.


async def test_all_of_them_start_and_there_is_one_house(postgres_url: str) -> None:
    """One of two workers ended at its start: the other had just added the house."""
    async with await open_store(postgres_url, Bells()) as store:
        offices = [Registry(store, NOBODYS, SystemClock(), Ids()) for _ in range(OFFICES)]

        await asyncio.gather(*(office.ensure_house() for office in offices))

        partners = await store.read(lambda work: work.access.partners())
        assert [partner.id for partner in partners] == [OFFICE]
