"""The faults: how each strikes, how it is healed, and which alert must tell of it."""

import os
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

from shell import run, sql

TABLE = "aistack_fault"
CLOCK = "/run/aistack-fault/clock"
DISK = "/var/lib/postgresql"


@dataclass
class Fault(ABC):
    """One fault, and the alert with these labels that must tell of it; "": none needs to."""

    name: str
    alert: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    at_the_edge: bool = False
    """nginx itself: connections of clients may break."""
    lingers: bool = False
    """Its alert looks back, and fires on for a while when all is well."""

    @abstractmethod
    async def strike(self) -> None:
        """Let it happen."""

    async def go_on(self) -> None:
        """Called every half second until it is healed: what mends itself is struck again."""

    @abstractmethod
    async def heal(self) -> None:
        """End it; what follows the stack has to do by itself."""


@dataclass
class Kill(Fault):
    """SIGKILL to a unit, as often as it comes up."""

    unit: str = ""
    whom: str = "all"

    async def strike(self) -> None:
        """Kill it; it may be down already."""
        whom = f"--kill-whom={self.whom}"
        await run("systemctl", "kill", whom, "--signal=KILL", self.unit, check=False)

    go_on = strike

    async def heal(self) -> None:
        """systemd starts it."""


@dataclass
class Pause(Fault):
    """SIGSTOP: the sockets stay, and nobody answers."""

    unit: str = ""

    async def strike(self) -> None:
        """Stop all its processes."""
        await run("systemctl", "kill", "--signal=STOP", self.unit)

    async def heal(self) -> None:
        """Let them run on."""
        await run("systemctl", "kill", "--signal=CONT", self.unit, check=False)


@dataclass
class KillBackend(Fault):
    """SIGKILL to one server process of PostgreSQL, which makes it end all others and recover."""

    async def strike(self) -> None:
        """Kill one that serves the stack."""
        found = await sql(
            "select pid from pg_stat_activity where usename = 'aistack'"
            " and backend_type = 'client backend' order by random() limit 1"
        )
        for (pid,) in found:
            os.kill(int(pid), 9)

    async def heal(self) -> None:
        """PostgreSQL recovers."""


@dataclass
class Cut(Fault):
    """What is sent to a port of this host is dropped: a partition, as TCP sees it."""

    port: int = 0

    async def strike(self) -> None:
        """Drop it."""
        of = f"inet {TABLE}"
        hook = "{ type filter hook input priority -10; }"
        rule = f"tcp dport {self.port} drop"
        await run("nft", f"add table {of}; add chain {of} input {hook}; add rule {of} input {rule}")

    async def heal(self) -> None:
        """Let it through again."""
        await run("nft", "delete", "table", "inet", TABLE)


@dataclass
class Fill(Fault):
    """A file takes all of the file system's free space."""

    file = Path(DISK, "aistack-fault")

    async def strike(self) -> None:
        """Take what is left."""
        with self.file.open("ab") as file:
            for block in (1 << 20, 1 << 12):
                try:
                    while True:
                        file.write(b"\0" * block)
                        file.flush()
                except OSError:  # no space is left for a block of that size
                    continue

    async def go_on(self) -> None:
        """What was given back meanwhile is taken, too."""
        await self.strike()

    async def heal(self) -> None:
        """Give it back."""
        self.file.unlink(missing_ok=True)


@dataclass
class Step(Fault):
    """The services' clock is set, and set right again; the stores go by another, as on other hosts."""

    seconds: int = 0

    async def strike(self) -> None:
        """Set it."""
        Path(CLOCK).write_text(f"{self.seconds:+d}\n")

    async def heal(self) -> None:
        """Set it right again."""
        Path(CLOCK).write_text("+0\n")


@dataclass
class Restart(Fault):
    """No fault: what an administrator does any day, and nothing needs to tell of."""

    verb: str = "restart"
    unit: str = ""

    async def strike(self) -> None:
        """Do it, and wait for it."""
        await run("systemctl", self.verb, self.unit)

    async def heal(self) -> None:
        """It is done."""


Hit = tuple[str, Fault]
"""What of the stack is hit, and how."""


def one_of_each(ports: dict[str, int], chance: random.Random) -> list[Hit]:
    """Each fault once; the seed chooses which instance it hits, and the order.

    Args:
        ports: of AIDB's instances, the coordinator and Qdrant, by name.
        chance: of the seed.
    """
    killed, paused, cut = chance.choices([name for name in ports if name.startswith("aidb-")], k=3)
    seconds = chance.choice((-7200, -600, 600, 7200))
    coordinator, redis = "aistack-coordinator.service", "redis-aistack.service"
    qdrant, postgres = "qdrant.service", "postgresql.service"
    of_postgres, of_qdrant = {"dependency": "postgres"}, {"dependency": "qdrant"}
    of_redis, of_disk = {"dependency": "redis"}, {"dependency": "disk"}
    gone = {"part": "coordinator"}
    faults: dict[str, list[Fault]] = {
        "AIDB": [
            Kill(f"kill {killed}", *_down(killed), unit=f"aistack-{killed}.service"),
            Pause(f"pause {paused}", *_down(paused), unit=f"aistack-{paused}.service"),
            Cut(f"cut off {cut}", *_down(cut), port=ports[cut]),
            Restart("restart AIDB", verb="reload", unit="aistack-aidb-instances.service"),
        ],
        "coordinator": [
            Kill("kill the coordinator", "ServiceGone", gone, unit=coordinator),
            Pause("pause the coordinator", "ServiceGone", gone, unit=coordinator),
            Cut("cut off the coordinator", "ServiceGone", gone, port=ports["coordinator"]),
        ],
        "balancer": [Kill("kill the balancer", "BalancerDown", unit="aistack-balancer.service")],
        "nginx": [
            Kill("kill nginx", "NginxDown", at_the_edge=True, unit="nginx.service"),
            Pause("pause nginx", "ProbeFails", at_the_edge=True, unit="nginx.service"),
        ],
        "Redis": [
            Kill("kill Redis", "RedisDown", unit=redis),
            Pause("pause Redis", "DependencyImpaired", of_redis, unit=redis),
        ],
        "Qdrant": [
            Kill("kill Qdrant", "QdrantDown", unit=qdrant),
            Pause("pause Qdrant", "QdrantDown", unit=qdrant),
            Cut("cut off Qdrant", "DependencyFails", of_qdrant, port=ports["qdrant"]),
        ],
        "PostgreSQL": [
            Kill("kill PostgreSQL", "PostgresDown", unit=postgres, whom="main"),
            KillBackend("kill a server process of PostgreSQL", "PostgresCrashed", lingers=True),
            Pause("pause PostgreSQL", "DependencyFails", of_postgres, unit=postgres),
            Fill("fill the disk of PostgreSQL", "DependencyImpaired", of_disk),
            Restart("restart PostgreSQL", unit=postgres),
        ],
        "clock": [
            Step(f"set the clock by {seconds} s", "HostClockStepped", lingers=True, seconds=seconds)
        ],
    }
    listed = [(part, fault) for part, hits in faults.items() for fault in hits]
    chance.shuffle(listed)
    return listed


def few(faults: list[Hit]) -> list[Hit]:
    """Of them, in their order, so few that none can go: each kind and each part still has one."""
    kept = faults
    for hit in faults:
        others = [other for other in kept if other is not hit]
        if _covered(others) == _covered(faults):
            kept = others
    return kept


def _covered(faults: list[Hit]) -> set[object]:
    """The parts that are hit, and the kinds of faults that hit them."""
    return {part for part, _ in faults} | {type(fault) for _, fault in faults}


def _down(name: str) -> tuple[str, dict[str, str]]:
    return "BalancerInstanceDown", {"server": name}
