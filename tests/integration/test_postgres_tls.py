"""PostgreSQL over TLS: what the address asks for holds of every connection."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from orderkeep.adapters.sql.foreign import rows_of
from orderkeep.adapters.sql.postgres.ledger import PgLedger
from orderkeep.adapters.sql.postgres.migrate import migrate
from orderkeep.adapters.sql.postgres.store import PgStore, open_store
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.errors import StoreBusy, Unavailable
from orderkeep.testing.certificates import Authority, Shown
from orderkeep.testing.postgres_server import PostgresServer

ONLY_TLS = "hostssl all all 127.0.0.1/32 trust\n"
OURS = """
    SELECT application_name, ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
    WHERE application_name LIKE 'orderkeep%' AND datname = current_database()
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[PostgresServer]:
    """One that speaks to nobody in the open."""
    with PostgresServer() as running:
        (running.folder / "data" / "pg_hba.conf").write_text(ONLY_TLS, encoding="ascii")
        show(running, authority.sign("database"))
        yield running


@pytest.fixture
def url(server: PostgresServer, authority: Authority) -> str:
    return f"{by_name(server.database())}?sslmode=verify-full&sslrootcert={authority.file}"


def by_name(url: str) -> str:
    return url.replace("127.0.0.1", "localhost")


def show(server: PostgresServer, shown: Shown) -> None:
    """Start with this certificate; what is not readable by its owner alone, the server refuses."""
    owner = server.folder.stat()
    for source, name in ((shown.certificate, "shown.pem"), (shown.key, "shown.key")):
        ours = server.folder / name
        ours.write_bytes(source.read_bytes())
        ours.chmod(0o600)
        os.chown(ours, owner.st_uid, owner.st_gid)
    files = {"ssl_cert_file": "shown.pem", "ssl_key_file": "shown.key"}
    server.settings |= {"ssl": "on"}
    server.settings |= {name: str(server.folder / file) for name, file in files.items()}
    server.restart()


async def opened(url: str) -> PgStore:
    return await open_store(url, Bells(), serve=True)


async def test_every_connection_is_encrypted_and_verified(url: str) -> None:
    await migrate(url)
    async with await opened(url) as store:
        await store.write(lambda work: work.wake("nobody"))
        ledger = await asyncio.to_thread(PgLedger, url)
        watching = await asyncpg.connect(url)
        seen = [tuple(row) for row in await watching.fetch(OURS)]
        await watching.close()
        await asyncio.to_thread(ledger.close)

    assert {ssl for _, ssl in seen} == {True}
    names = " ".join(name for name, _ in seen)
    assert all(one in names for one in ("listens", "lives", "ledger"))


@pytest.mark.parametrize(
    "shown, sentence",
    [
        ("expired", "The server's certificate has expired"),
        ("elsewhere", "The server's certificate is for another name than the address has"),
        ("strange", "Nobody whom we trust has signed the server's certificate"),
    ],
)
async def test_a_server_that_cannot_be_believed_is_told_in_a_sentence(
    server: PostgresServer,
    authority: Authority,
    url: str,
    tmp_path: Path,
    shown: str,
    sentence: str,
) -> None:
    wrong = {
        "expired": lambda: authority.sign("expired", days=-1),
        "elsewhere": lambda: authority.sign("elsewhere", ("DNS:db.elsewhere",)),
        "strange": lambda: Authority(tmp_path, "stranger").sign("strange"),
    }
    show(server, wrong[shown]())
    try:
        for asked in (migrate, opened):
            with pytest.raises(StoreBusy) as refused:
                await asked(url)
            assert f"is not trusted: {sentence}." in str(refused.value)
        with pytest.raises(Unavailable):
            await rows_of(url, "SELECT 1 AS n", 1)
    finally:
        show(server, authority.sign("database"))


async def test_a_lost_order_is_looked_for_in_a_database_over_tls(url: str) -> None:
    found = await rows_of(url, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", 1)

    assert found == [{"ssl": True}]


@pytest.mark.parametrize(
    "words, sentence",
    [
        ("sslmode=verify", "its address asks for what there is not"),
        ("sslmode=verify-full&sslrootcert=/nowhere.pem", "names a file that is not there"),
        ("sslmode=disable", "refuses the user"),
    ],
)
async def test_what_an_address_asks_for_in_vain_is_told(
    url: str, words: str, sentence: str
) -> None:
    with pytest.raises(StoreBusy, match=sentence):
        await migrate(f"{url.partition('?')[0]}?{words}")
