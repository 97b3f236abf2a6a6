"""A RabbitMQ over TLS: who cannot be believed is not spoken to, and that costs delay only."""

import asyncio
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aio_pika.exceptions import AMQPError

from orderkeep.adapters.rabbitmq.link import Wire
from orderkeep.adapters.rabbitmq.tap import listen
from orderkeep.adapters.rabbitmq.topology import EXCHANGE
from orderkeep.adapters.rabbitmq_management import CannotLook, RabbitManagement
from orderkeep.adapters.rabbitmq_probe import probe
from orderkeep.intake import sentences as say
from orderkeep.intake.mapping import Message
from orderkeep.testing.amqp_road import Road, admin, road, sweep
from orderkeep.testing.certificates import Authority, Shown
from orderkeep.testing.rabbitmq_node import RabbitNode

ORDERKEEP = Path(sys.executable).with_name("orderkeep")
SAVING_BOUND_S = 2.0


@dataclass(frozen=True, slots=True)
class House:
    """A broker, whom its users trust, and the certificates it may show."""

    node: RabbitNode
    authority: Authority
    stranger: Authority
    good: Shown
    wrong: dict[str, Shown]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("certificates")
    authority, stranger = Authority(folder), Authority(folder, "stranger")
    wrong = {
        "expired": authority.sign("expired", days=-1),
        "elsewhere": authority.sign("elsewhere", ("DNS:broker.elsewhere", "IP:127.0.0.9")),
        "strange": stranger.sign("strange"),
        "self-signed": Shown(stranger.file, folder / "stranger.key"),
    }
    good = authority.sign("good")
    node = RabbitNode(tls=True)
    node.show(good.certificate, good.key)
    with node:
        yield House(node, authority, stranger, good, wrong)


@pytest.fixture
def at(house: House) -> House:
    """The broker with nothing of ours in it, and showing what it ought to."""
    show(house, house.good)
    asyncio.run(sweep(house.node.url))
    return house


def show(house: House, shown: Shown) -> None:
    """Show another certificate, and have everybody look at it."""
    house.node.show(shown.certificate, shown.key)
    house.node.ctl("close_all_connections", "certificate")


@asynccontextmanager
async def flowing(house: House, folder: Path, ca_file: Path) -> AsyncIterator[Road]:
    """A road over TLS on which envelopes arrive."""
    async with road(house.node.tls_url, folder, ca_file=ca_file) as opened:
        await opened.until_up()
        await opened.post(30)
        await opened.until_all_is_there()
        yield opened
        assert opened.slowest_post_s < SAVING_BOUND_S


def told(at: Road) -> set[str | None]:
    return {link.last_error for link in at.transport.state().values()}


async def test_everything_is_published_and_consumed_over_tls_and_nothing_in_the_open(
    at: House, tmp_path: Path
) -> None:
    async with flowing(at, tmp_path, at.authority.file):
        spoken = await asyncio.to_thread(
            at.node.ctl, "list_connections", "--no-table-headers", "ssl", "ssl_protocol"
        )

    assert {line.split()[0] for line in spoken.splitlines()} == {"true"}
    assert {line.split()[1] for line in spoken.splitlines()} <= {"tlsv1.3", "tlsv1.2"}


async def test_a_new_certificate_of_the_same_authority_costs_one_reconnect(
    at: House, tmp_path: Path
) -> None:
    async with flowing(at, tmp_path, at.authority.file) as opened:
        renewed = at.authority.sign("renewed")
        await asyncio.to_thread(show, at, renewed)
        await opened.post(30)

        await opened.until_all_is_there()


@pytest.mark.parametrize(
    "shown, sentence",
    [
        ("expired", say.CERTIFICATE_EXPIRED()),
        ("elsewhere", say.CERTIFICATE_NAME()),
        ("strange", say.CERTIFICATE_STRANGE()),
        ("self-signed", say.CERTIFICATE_STRANGE()),
    ],
)
async def test_who_cannot_be_believed_is_told_in_a_sentence_and_costs_delay_only(
    at: House, tmp_path: Path, shown: str, sentence: str
) -> None:
    async with flowing(at, tmp_path, at.authority.file) as opened:
        await asyncio.to_thread(show, at, at.wrong[shown])
        await opened.until(lambda: told(opened) == {sentence})
        await opened.post(30)
        assert opened.unsent() == 30
        assert not any(one.connected_since for one in opened.transport.state().values())

        await asyncio.to_thread(show, at, at.good)

        await opened.until_all_is_there()


async def test_an_authority_is_exchanged_without_a_restart_of_ours(
    at: House, tmp_path: Path
) -> None:
    trusted = tmp_path / "trusted.pem"
    shutil.copy(at.authority.file, trusted)
    async with flowing(at, tmp_path, trusted) as opened:
        await asyncio.to_thread(show, at, at.wrong["strange"])
        await opened.until(lambda: told(opened) == {say.CERTIFICATE_STRANGE()})
        trusted.write_text("rubbish", encoding="ascii")
        await opened.until(lambda: told(opened) == {say.NOBODY_TO_TRUST(failure="SSLError")})
        await opened.post(30)

        trusted.write_bytes(at.stranger.file.read_bytes() + at.authority.file.read_bytes())

        await opened.until_all_is_there()


async def test_without_a_file_of_ours_the_systems_authorities_are_asked_and_know_nobody(
    at: House,
) -> None:
    wire = Wire(at.node.tls_url, "test", heartbeat=10)
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        await wire.connect(timeout=120)


@pytest.mark.parametrize("words", ["no_verify_ssl=1", "verify=0&no_verify_ssl=true", "cafile={}"])
async def test_an_address_cannot_say_that_nobody_is_to_be_verified(at: House, words: str) -> None:
    """The library would obey it."""
    await asyncio.to_thread(show, at, at.wrong["strange"])
    url = f"{at.node.tls_url}?{words.format(at.stranger.file)}"

    wire = Wire(url, "test", 10, at.authority.file)
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        await wire.connect(timeout=120)
    with pytest.raises(CannotLook, match="Nobody whom we trust"):
        await probe(url, ["orders"], [], 0.0, ca_file=at.authority.file)


async def test_a_port_without_tls_is_not_spoken_to_in_the_open(at: House, tmp_path: Path) -> None:
    plain = at.node.tls_url.replace(at.node.tls_url.rpartition(":")[2], f"{at.node.port}/")
    async with road(plain, tmp_path, ca_file=at.authority.file) as opened:
        await opened.post(5)
        await opened.until(lambda: told(opened) == {say.NO_TLS()})

        assert opened.unsent() == 5


async def test_a_port_that_never_answers_the_handshake_is_given_up(
    at: House, tmp_path: Path
) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as mute:
        port = mute.sockets[0].getsockname()[1]
        url = f"amqps://maker:secret@localhost:{port}/"
        async with road(url, tmp_path, ca_file=at.authority.file) as opened:
            await opened.post(5)
            await opened.until(
                lambda: all(s.attempts > 1 for s in opened.transport.state().values())
            )

            assert opened.unsent() == 5
            assert "secret" not in str(told(opened))


# --- what is there already ----------------------------------------------------------------------


async def test_copies_are_taken_over_tls_from_whom_we_trust_only(at: House, tmp_path: Path) -> None:
    heard: list[Message] = []

    def take(message: Message) -> bool:
        heard.append(message)
        return False

    async with flowing(at, tmp_path, at.authority.file) as opened:
        tapped = asyncio.Event()
        url, trusted = at.node.tls_url, at.authority.file
        listening = asyncio.create_task(
            listen(url, EXCHANGE, ["priced"], take, seconds=60, ca_file=trusted, tapped=tapped.set)
        )
        await tapped.wait()
        await opened.post(3)
        await listening
    with pytest.raises((OSError, AMQPError), match="CERTIFICATE_VERIFY_FAILED"):
        await listen(url, EXCHANGE, ["priced"], take, seconds=1, ca_file=at.stranger.file)

    assert len(heard) == 1


def test_the_doctor_looks_over_tls_at_whom_it_trusts_only(at: House) -> None:
    with RabbitManagement(at.node.management_tls_url, ca_file=at.authority.file) as broker:
        assert broker.sample().overview.rabbitmq_version

    for ca_file in (at.stranger.file, None):
        with (
            RabbitManagement(at.node.management_tls_url, ca_file=ca_file) as broker,
            pytest.raises(CannotLook, match="Nobody whom we trust has signed") as refused,
        ):
            broker.sample()
        assert at.node.password not in str(refused.value)
    with pytest.raises(CannotLook, match="cannot be read"):
        RabbitManagement(at.node.management_tls_url, ca_file=Path("/nowhere.pem"))


async def test_the_doctor_asks_queues_over_tls(at: House) -> None:
    async with admin(at.node.url) as channel:
        await channel.queue_declare("orders", durable=True)

    seen = await probe(at.node.tls_url, ["orders"], [], 0.0, ca_file=at.authority.file)

    assert [one.name for one in seen.second.queues] == ["orders"]
    with pytest.raises(CannotLook, match="Nobody whom we trust has signed"):
        await probe(at.node.tls_url, ["orders"], [], 0.0, ca_file=at.stranger.file)


async def test_the_command_says_why_it_could_not_look(at: House) -> None:
    async def doctor(*words: str) -> tuple[int | None, str]:
        command = ("doctor", "rabbitmq", "--seconds", "0", *words)
        process = await asyncio.create_subprocess_exec(
            ORDERKEEP, *command, stdout=DEVNULL, stderr=PIPE
        )
        _, said = await process.communicate()
        return process.returncode, said.decode()

    url = ("--url", at.node.management_tls_url)
    code, _ = await doctor(*url, "--ca-file", str(at.authority.file))
    assert code in {0, 1}

    code, said = await doctor(*url, "--ca-file", str(at.stranger.file))
    assert code == 2
    assert say.CERTIFICATE_STRANGE() in said

    code, said = await doctor("--url", f"{at.node.tls_url}?no_verify_ssl=1", "--queue", "orders")
    assert code == 64
    assert "always verified" in said
