"""A RabbitMQ node of one's own: its folder, ports, cookie, user; nothing is shared.

The machine's own RabbitMQ, if one runs, is neither asked nor touched. Started by root, the node
runs as the user ``rabbitmq`` or ``nobody``.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import httpx

from orderkeep.bench.ports import hold_port, number_of
from orderkeep.bench.temporary import Temporary

PROGRAMS = Path(os.environ.get("ORDERKEEP_RABBITMQ_PROGRAMS", "/usr/lib/rabbitmq/bin"))
START_DEADLINE_S = 90.0
STOP_DEADLINE_S = 30.0
PLUGINS = ("rabbitmq_management", "rabbitmq_prometheus")

MISSING = (
    "A RabbitMQ of its own is started for this, and its programs are not installed."
    " Debian and Ubuntu: apt-get install --no-install-recommends rabbitmq-server"
)


class RabbitNode(Temporary):
    """One RabbitMQ node with a temporary folder, which survives ``stop`` and ``kill``.

    Use it as ``with RabbitNode() as node``, which removes the folder at the end, or with ``start``,
    ``stop`` and ``remove``.

    Args:
        stats_interval: seconds between two samples of the broker's own counters; 5 is its default.
        plugins: what is enabled on this node.
        settings: further lines of ``rabbitmq.conf``.
        beside: another node; this one takes its cookie and name service, so that they can cluster.
        tls: whether AMQP and the management API are spoken over TLS too; ``show`` says with what
            certificate, before the start.
        silent_s: after so long without a word another node is taken for gone; 60 is the default.
    """

    def __init__(
        self,
        *,
        stats_interval: float = 1.0,
        plugins: tuple[str, ...] = PLUGINS,
        settings: Mapping[str, str] | None = None,
        beside: "RabbitNode | None" = None,
        tls: bool = False,
        silent_s: int | None = None,
    ) -> None:
        # Not below pytest's folders: those are closed to every user but the one who runs pytest.
        self.folder = Path(tempfile.mkdtemp(prefix="orderkeep-rabbit-"))
        self.user = "maker"
        self.password: str = beside.password if beside else secrets.token_urlsafe(12)
        self.cookie: str = beside.cookie if beside else secrets.token_hex(16)
        self._beside = beside
        self._tls = tls
        names = ["amqp", "amqps", "management", "management-tls", "metrics", "distribution", "epmd"]
        self._places = {name: hold_port() for name in names}
        self._ports = {name: number_of(place) for name, place in self._places.items()}
        self.names_port: int = beside.names_port if beside else self._ports["epmd"]
        self.asks_names_at: int | None = None
        """Where it asks for other nodes, instead of the name service itself."""
        self.name = f"orderkeep-{secrets.token_hex(4)}@localhost"
        self._plugins = plugins
        self._settings = {
            "collect_statistics_interval": str(round(stats_interval * 1000)),
            **(settings or {}),
        }
        # Quorum queues count by a clock of their own, which rabbitmq.conf cannot set.
        self._advanced = (
            f"[{{rabbit, [{{quorum_tick_interval, {round(stats_interval * 1000)}}}]}}"
            f"{f', {{kernel, [{{net_ticktime, {silent_s}}}]}}' if silent_s else ''}].\n"
        )
        self._account = _account()
        self._broker: subprocess.Popen[bytes] | None = None
        self._names: subprocess.Popen[bytes] | None = None
        # Before anything is started: whatever ends us, this ends what we have started.
        self._keeper = _Keeper(self.folder)

    @property
    def port(self) -> int:
        """Where AMQP is spoken, on 127.0.0.1."""
        return self._ports["amqp"]

    @property
    def url(self) -> str:
        """The AMQP address with user and password, virtual host ``/``."""
        return f"amqp://{self.user}:{quote(self.password)}@127.0.0.1:{self.port}/"

    @property
    def tls_url(self) -> str:
        """The same over TLS."""
        return f"amqps://{self.user}:{quote(self.password)}@localhost:{self._ports['amqps']}/"

    @property
    def management_tls_url(self) -> str:
        """The management API's address over TLS."""
        port = self._ports["management-tls"]
        return f"https://{self.user}:{quote(self.password)}@localhost:{port}"

    @property
    def distribution_port(self) -> int:
        """Where other nodes of its cluster reach it."""
        return self._ports["distribution"]

    @property
    def management_url(self) -> str:
        """The management API's address with user and password."""
        port = self._ports["management"]
        return f"http://{self.user}:{quote(self.password)}@127.0.0.1:{port}"

    @property
    def metrics_url(self) -> str:
        """Where the Prometheus plugin answers."""
        return f"http://127.0.0.1:{self._ports['metrics']}/metrics"

    @property
    def pid(self) -> int | None:
        """The broker's process, or None while it is down."""
        return self._broker.pid if self._broker and self._broker.poll() is None else None

    def start(self) -> None:
        """Start the node; returning means that AMQP and the management API answer.

        Raises:
            RuntimeError: the programs are not installed, or the node did not come up.
        """
        if self.pid is not None:
            return
        if not (PROGRAMS / "rabbitmq-server").exists():
            raise RuntimeError(MISSING)
        self._write_folder()
        self.start_names()
        with (self.folder / "output.log").open("ab") as output:
            self._broker = self._run([str(PROGRAMS / "rabbitmq-server")], output=output.fileno())
        self._wait_until_it_answers()

    def start_names(self) -> None:
        """Start Erlang's name service as our child: started by the broker, it would outlive us.

        ``start`` does it by itself; nodes that start at once want it done before.
        """
        if self._beside or (self._names and self._names.poll() is None):
            return
        self._names = self._run(["epmd", "-port", str(self.names_port)], subprocess.DEVNULL)
        deadline = time.monotonic() + START_DEADLINE_S
        while not _listens(self.names_port):
            if time.monotonic() > deadline or self._names.poll() is not None:
                raise RuntimeError("Erlang's name service did not start")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the node in an orderly way; what is on its disk stays."""
        self._end(signal.SIGTERM)
        if self._names:
            self._names.kill()
            self._names.wait()
            self._keeper.forget(self._names.pid)
            self._names = None

    def remove(self) -> None:
        """End the node if it runs, and remove what it kept."""
        self._end(signal.SIGKILL)
        self.stop()
        self._keeper.dismiss()
        for place in self._places.values():
            place.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """End the node at once, as a lost power supply would; ``start`` brings it back."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop in an orderly way, then start."""
        self._end(signal.SIGTERM)
        self.start()

    def pause(self) -> None:
        """Let the node hang: connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused node go on."""
        self._signal(signal.SIGCONT)

    def ctl(self, *words: str) -> str:
        """Run ``rabbitmqctl`` on this node and return what it printed.

        Raises:
            RuntimeError: it ended with an error; the message is its own.
        """
        command = [str(PROGRAMS / "rabbitmqctl"), "--quiet", "--node", self.name, *words]
        process = self._run(command, output=subprocess.PIPE, lasting=False)
        printed, _ = process.communicate(timeout=START_DEADLINE_S)
        if process.returncode:
            raise RuntimeError(f"rabbitmqctl {' '.join(words)}: {printed.decode(errors='replace')}")
        return printed.decode()

    def join(self, other: "RabbitNode") -> None:
        """Become a member of the cluster of ``other``, for which this node was made ``beside``."""
        for words in (("stop_app",), ("join_cluster", other.name), ("start_app",)):
            self.ctl(*words)
        self._wait_until_it_answers()

    def find(self, nodes: Sequence["RabbitNode"]) -> None:
        """Form a cluster with these nodes at the first start, all of them started at once."""
        names = "cluster_formation.classic_config.nodes"
        self._settings |= {f"{names}.{n}": one.name for n, one in enumerate(nodes, 1)}
        self._settings["cluster_formation.peer_discovery_backend"] = "classic_config"

    def show(self, certificate: Path, key: Path) -> None:
        """Show this certificate over TLS to whoever connects from now on."""
        for source, name in ((certificate, "shown.pem"), (key, "shown.key")):
            ours = self.folder / name
            ours.write_bytes(source.read_bytes())
            ours.chmod(0o600)
            if self._account:
                shutil.chown(ours, self._account.pw_uid, self._account.pw_gid)
        if self.pid is not None:
            self.ctl("eval", "ssl:clear_pem_cache().")

    def _write_folder(self) -> None:
        (self.folder / "home").mkdir(exist_ok=True)
        cookie = self.folder / "home" / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text(self.cookie)
            cookie.chmod(0o400)
        (self.folder / "enabled_plugins").write_text(f"[{','.join(self._plugins)}].\n")
        (self.folder / "environment.conf").write_text("")
        (self.folder / "rabbitmq.conf").write_text(self._configuration())
        (self.folder / "advanced.config").write_text(self._advanced)
        if self._account:
            _hand_over(self.folder, self._account)

    def _configuration(self) -> str:
        lines = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "default_user": self.user,
            "default_pass": self.password,
            "default_user_tags.administrator": "true",
            "disk_free_limit.absolute": "50MB",
            **self._settings,
        }
        if self._tls:
            lines |= self._over_tls()
        if "rabbitmq_management" in self._plugins:
            lines |= {
                "management.tcp.port": str(self._ports["management"]),
                "management.tcp.ip": "127.0.0.1",
            }
        if "rabbitmq_prometheus" in self._plugins:
            lines |= {
                "prometheus.tcp.port": str(self._ports["metrics"]),
                "prometheus.tcp.ip": "127.0.0.1",
            }
        return "".join(f"{name} = {value}\n" for name, value in lines.items())

    def _over_tls(self) -> dict[str, str]:
        shown = {"certfile": self.folder / "shown.pem", "keyfile": self.folder / "shown.key"}
        lines = {f"ssl_options.{name}": str(file) for name, file in shown.items()}
        lines["listeners.ssl.1"] = f"127.0.0.1:{self._ports['amqps']}"
        if "rabbitmq_management" in self._plugins:
            lines |= {f"management.ssl.{name}": str(file) for name, file in shown.items()}
            lines["management.ssl.port"] = str(self._ports["management-tls"])
            lines["management.ssl.ip"] = "127.0.0.1"
        return lines

    def _environment(self) -> dict[str, str]:
        folder = self.folder
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": str(folder / "home"),
            "ERL_EPMD_PORT": str(self.asks_names_at or self.names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_DIST_PORT": str(self._ports["distribution"]),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "environment.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none"
            ),
            # The script then becomes the broker instead of its parent: one process, one pid.
            "RUNNING_UNDER_SYSTEMD": "true",
            # Any free port, instead of ten fixed ones that all tests would share.
            "RABBITMQ_CTL_DIST_PORT_MIN": "0",
            "RABBITMQ_CTL_DIST_PORT_MAX": "0",
        }

    def _run(
        self, command: list[str], output: int, *, lasting: bool = True
    ) -> "subprocess.Popen[bytes]":
        account = self._account
        if lasting:
            command = self._keeper.told_by(command)
        return subprocess.Popen(
            command,
            pass_fds=(self._keeper.ear,) if lasting else (),
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_DEADLINE_S
        while not self._answers():
            if self.pid is None or time.monotonic() > deadline:
                said = (self.folder / "output.log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"RabbitMQ did not come up; it said:\n{said}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        if not _listens(self.port):
            return False
        if "rabbitmq_management" not in self._plugins:
            return True
        try:
            reply = httpx.get(f"{self.management_url}/api/whoami", timeout=5, trust_env=False)
        except httpx.HTTPError:
            return False
        return reply.status_code == 200

    def _signal(self, sent: signal.Signals) -> None:
        if self._broker and self._broker.poll() is None:
            os.killpg(self._broker.pid, sent)  # its own session, so nobody else is hit

    def _end(self, sent: signal.Signals) -> None:
        if self._broker is None:
            return
        self._signal(signal.SIGCONT)
        self._signal(sent)
        try:
            self._broker.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._broker.wait()
        self._keeper.forget(self._broker.pid)
        self._broker = None


class _Keeper:
    """A process that ends ours once we are gone, and then removes the folder.

    It reads a pipe that ends with us, however we end. What we start tells it its own number before
    it becomes what it is to be, so there is no instant at which nobody knows of it.
    """

    def __init__(self, folder: Path) -> None:
        reading, self.ear = os.pipe()
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _KEEP, "keeper", str(folder)], stdin=reading, start_new_session=True
        )
        os.close(reading)

    def told_by(self, command: list[str]) -> list[str]:
        """The command, preceded by its telling who it is."""
        telling = f'echo "run $$" >&{self.ear}; exec {self.ear}>&-; exec "$@"'
        # Not every sh takes two digits there; bash does, and RabbitMQ's own scripts need it not.
        return ["bash", "-c", telling, "told", *command]

    def forget(self, pid: int) -> None:
        """It has ended, and its number may become another's."""
        os.write(self.ear, f"end {pid}\n".encode())

    def dismiss(self) -> None:
        """Nothing is left to be kept."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            os.close(self.ear)


_KEEP = """
while read -r what pid; do
  case $what in
    run) ours="$ours $pid" ;;
    end) left=; for one in $ours; do [ "$one" = "$pid" ] || left="$left $one"; done; ours=$left ;;
  esac
done
for one in $ours; do kill -s KILL -- "-$one"; done
rm -rf -- "$1"
"""


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _account() -> "pwd.struct_passwd | None":
    """Who the node runs as: None for ourselves, someone without rights if we are root."""
    if os.getuid() != 0:
        return None
    for name in ("rabbitmq", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("root starts servers as the user rabbitmq or nobody; there is neither")


def _hand_over(folder: Path, account: "pwd.struct_passwd") -> None:
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, account.pw_uid, account.pw_gid)
