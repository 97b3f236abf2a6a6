"""Reads RabbitMQ's management API and Prometheus endpoint; it only ever says GET."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import GenericAlias
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx
import msgspec

from orderkeep.adapters.trust import NobodyToTrust, trusting, why_not
from orderkeep.doctor.snapshot import (
    Binding,
    Channel,
    Connection,
    Consumer,
    Exchange,
    Health,
    Node,
    Overview,
    Parameter,
    Permission,
    Policy,
    Queue,
    Sample,
    Unseen,
    Vhost,
    Whoami,
)
from orderkeep.kernel.errors import Unavailable

T = TypeVar("T")

TIMEOUT_S = 30.0
METRICS_PORT = 15692
NEEDED = ("overview", "queues")
"""Without these nothing can be said."""
LISTS: dict[str, tuple[type[Any], str]] = {
    "nodes": (Node, "monitoring"),
    "exchanges": (Exchange, "management"),
    "queues": (Queue, "management"),
    "bindings": (Binding, "management"),
    "consumers": (Consumer, "management"),
    "channels": (Channel, "monitoring"),
    "connections": (Connection, "monitoring"),
    "policies": (Policy, "monitoring"),
    "permissions": (Permission, "administrator"),
    "parameters": (Parameter, "policymaker"),
}
"""What is listed, as what it is read, and the user's tag it needs."""
CHECKS = ("alarms", "node-is-quorum-critical")
ANSWERS_OF_CHECKS = {200, 503}


SEES_OTHERS = {"monitoring", "administrator"}
"""Tags of users who are shown more than their own connections."""


class CannotLook(Unavailable):
    """The broker could not be looked at; the sentence says why and what would help."""


class RabbitManagement:
    """One broker; close it with ``close`` or ``with``.

    Args:
        url: ``http(s)://user:password@host:15672``; user and password are used for signing in
            and are part of no message.
        vhosts: the virtual hosts to look at; none means all that the user may see.
        metrics_urls: Prometheus endpoints, one for each node; none means the host's default one.
        ca_file: whom ``https`` trusts, instead of the system's authorities.

    Raises:
        CannotLook: the address is not one, or ``ca_file`` names nobody.
    """

    def __init__(
        self,
        url: str,
        vhosts: Sequence[str] = (),
        metrics_urls: Sequence[str] = (),
        *,
        ca_file: Path | None = None,
    ) -> None:
        base, auth, host = _address(url)
        self._vhosts = frozenset(vhosts)
        self._metrics_urls = list(metrics_urls) or [_default_metrics(host)]
        # No proxy of the environment: it would see the password.
        try:
            context = trusting(ca_file)
        except NobodyToTrust as nobody:
            raise CannotLook(str(nobody)) from None
        self._client = httpx.Client(
            base_url=f"{base}/api/", auth=auth, timeout=TIMEOUT_S, trust_env=False, verify=context
        )
        self._open = httpx.Client(timeout=TIMEOUT_S, trust_env=False, verify=context)
        self._host = urlsplit(base).netloc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._open.close()

    def sample(self) -> Sample:
        """Everything the user may see, now; what he may not see is in ``unseen``.

        Raises:
            CannotLook: no answer, or not even the queues may be seen.
        """
        unseen: list[Unseen] = []
        overview = self._one("overview", Overview, "management", unseen) or Overview()
        self._require_vhosts()
        unseen += self._half_seen(overview)
        lists = {name: self._list(name, shape, tag, unseen) for name, (shape, tag) in LISTS.items()}
        return Sample(overview=overview, **lists, health=self._health(unseen), unseen=unseen)

    def metrics(self, nodes: int) -> tuple[dict[str, float] | None, int, list[Unseen]]:
        """Counters summed over the nodes that answered, how many did, and what was not seen."""
        sums: Counter[str] = Counter()
        unseen, answered = [], 0
        for url in self._metrics_urls:
            counters = self._counters(url)
            if counters is None:
                unseen.append(Unseen("prometheus", f"metrics:{_without_secrets(url)}"))
                continue
            answered += 1
            sums.update(counters)
        if 0 < answered < nodes:
            unseen.append(Unseen("prometheus", f"nodes:{answered}/{nodes}"))
        return (dict(sums) if answered else None), answered, unseen

    def _counters(self, url: str) -> dict[str, float] | None:
        try:
            reply = self._open.get(url)
        except (httpx.HTTPError, httpx.InvalidURL):
            return None
        found = _read_counters(reply.text.splitlines()) if reply.status_code == 200 else {}
        return found or None

    def _list(self, name: str, shape: type[T], tag: str, unseen: list[Unseen]) -> list[T]:
        many = GenericAlias(list, shape)  # list[shape], whose element is known only when it runs.
        found: list[T] = self._one(name, many, tag, unseen) or []
        return [one for one in found if self._is_wanted(one)]

    def _is_wanted(self, one: object) -> bool:
        vhost = getattr(one, "vhost", None) or getattr(getattr(one, "queue", None), "vhost", None)
        return not self._vhosts or vhost is None or vhost in self._vhosts

    def _one(self, name: str, shape: Any, tag: str, unseen: list[Unseen]) -> Any:
        reply = self._get(name)
        if reply.status_code == 200:
            try:
                return msgspec.json.decode(reply.content, type=shape, strict=False)
            except (msgspec.DecodeError, RecursionError) as error:
                why = f"answer:{error}"
        else:
            why = _why(reply.status_code, tag)
        if name in NEEDED:
            raise self._blind(name, reply.status_code)
        unseen.append(Unseen(name, why))
        return None

    def _require_vhosts(self) -> None:
        """A virtual host mistyped would look perfectly healthy."""
        found = self._one("vhosts", list[Vhost], "management", []) if self._vhosts else None
        missing = self._vhosts - {one.name for one in found or []}
        if missing:
            raise CannotLook(
                f"{self._host} shows this user no virtual host {', '.join(sorted(missing))}"
            )

    def _half_seen(self, overview: Overview) -> Iterator[Unseen]:
        """What is answered, but with less than there is."""
        if overview.disable_stats:
            yield Unseen("message_stats", "stats")
        who = self._one("whoami", Whoami, "management", []) or Whoami()
        tags = who.tags.split(",") if isinstance(who.tags, str) else who.tags
        if not SEES_OTHERS & set(tags):
            yield Unseen("connections, channels", "rights:monitoring")

    def _health(self, unseen: list[Unseen]) -> dict[str, Health]:
        return {name: self._check(name, unseen) for name in CHECKS}

    def _check(self, name: str, unseen: list[Unseen]) -> Health:
        reply = self._get(f"health/checks/{name}")
        if reply.status_code not in ANSWERS_OF_CHECKS:
            unseen.append(Unseen(f"health/checks/{name}", _why(reply.status_code, "monitoring")))
        try:
            told = msgspec.json.decode(reply.content)
        except msgspec.DecodeError:
            told = None
        reason = told.get("reason") if isinstance(told, dict) else None
        return Health(reply.status_code, str(reason or ""))

    def _get(self, path: str) -> httpx.Response:
        try:
            return self._client.get(path)
        except httpx.HTTPError as error:
            if sentence := why_not(error):
                raise CannotLook(f"{self._host}: {sentence}") from None
            what = type(error).__name__
            raise CannotLook(
                f"no answer from {self._host} ({what}): is the management plugin enabled"
                " (rabbitmq-plugins enable rabbitmq_management) and its port reachable?"
            ) from None

    def _blind(self, name: str, status: int) -> CannotLook:
        if status in {401, 403}:
            return CannotLook(
                f"{self._host} does not let this user see {name}: check name and password, and"
                " give the user the tag monitoring (rabbitmqctl set_user_tags USER monitoring)"
            )
        return CannotLook(
            f"{self._host} does not answer as RabbitMQ's management API does"
            f" ({name}: HTTP {status})"
        )


def _why(status: int, tag: str) -> str:
    if status in {401, 403}:
        return f"rights:{tag}"
    return "missing" if status in {404, 405} else f"answer:HTTP {status}"


def _address(url: str) -> tuple[str, tuple[str, str], str]:
    """The address without secrets, the sign-in, and the bare host."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise CannotLook("--url is no address; say http://user:password@host:15672") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CannotLook("--url must look like http://user:password@host:15672")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    netloc = host if port is None else f"{host}:{port}"
    base = urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))
    auth = (unquote(parts.username or "guest"), unquote(parts.password or "guest"))
    return base, auth, host


def _default_metrics(host: str) -> str:
    return f"http://{host}:{METRICS_PORT}/metrics"


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _read_counters(lines: Iterable[str]) -> dict[str, float]:
    """Lines of the Prometheus text format that count what became of messages."""
    found: dict[str, float] = {}
    for line in lines:
        name, _, value = line.rpartition(" ")
        if name.startswith("rabbitmq_global_messages_"):
            try:
                found[name] = float(value)
            except ValueError:
                continue
    return found
