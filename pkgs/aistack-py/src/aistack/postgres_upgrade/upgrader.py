"""One upgrade: the older cluster stays whole until the newer one is proved to hold the same.

    OLD                          until the last step
    NEW.upgrading/data           the newer one, while it is made
    OLD.before-NN-TIME           the older one, in the last step
    NEW                          the newer one, in the last step

Killed at any point, the next run goes on or begins again. At no point are two clusters in their
places, and no server starts on an empty one meanwhile: the module's guard refuses.
"""

import contextlib
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psycopg

from aistack.backup.restore import Units
from aistack.errors import AistackError, ConflictError, UnavailableError
from aistack.kit import disk, process
from aistack.postgres_server.cluster import Cluster
from aistack.postgres_server.private import serving
from aistack.postgres_upgrade import carry, model, picture
from aistack.postgres_upgrade.model import Plan, Record
from aistack.postgres_upgrade.picture import Origin, Picture
from aistack.settings.schema import PostgresUpgrade

log = logging.getLogger(__name__)

_PRIVATE = 0o700
_END_S = 30
_START_S = 120
_LOOK_S = 0.2
_BEFORE = "before.json"


class Upgrader:
    """Does what a plan says; its caller holds the lock.

    Args:
        settings: from where to where.
        old: the older cluster.
        new: the newer one.
        units: what is stopped and started.
        say: told what happens.
    """

    def __init__(
        self,
        settings: PostgresUpgrade,
        old: Cluster,
        new: Cluster,
        units: Units,
        say: Callable[[str], None] = log.info,
    ) -> None:
        self._own = settings
        self._old = old
        self._new = new
        self._units = units
        self._say = say
        self._work = new.data.with_name(f"{new.data.name}.upgrading")
        self._staged = Cluster(self._work / "data", new.programs)

    @property
    def under_way(self) -> bool:
        """Whether a run was killed before its end."""
        return self._work.exists()

    def kept(self, record: Record) -> Path:
        """Where the older data folder is put when all is well."""
        return self._new.data.with_name(record.kept)

    def tidy(self) -> None:
        """End what a killed run left running; what it left lying is the next run's."""
        if not self.under_way:
            return
        until = time.monotonic() + _END_S
        # pg_upgrade goes on without us, and would start servers behind our back.
        while left := process.working_in(self._work / "run"):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > until:
                raise UnavailableError(f"processes of a killed run do not end in {self._work}")
            time.sleep(_LOOK_S)
        if self._staged.lives():
            self._staged.stop("immediate")
        if self._old.lives():
            self._old.stop("fast")

    def look(self, plan: Plan) -> None:
        """Ask pg_upgrade whether it would do it, in a folder of its own; the old server may run.

        Raises:
            UnavailableError: it would not; holds why.
        """
        work = self._new.data.with_name(f"{self._new.data.name}.looking")
        staged = Cluster(work / "data", self._new.programs)
        shutil.rmtree(work, ignore_errors=True)
        try:
            self._prepare(work)
            if self._old.lives():
                like = picture.origin(self._old, self._own.dsn)
            else:
                with serving(self._old, self._quiet, self._own.dsn) as dsn:
                    like = picture.origin(self._old, dsn)
            carry.make(self._old, staged, like)
            if plan.method == "pg_upgrade":
                carry.pg_upgrade(
                    self._old, staged, work / "run", like.superuser, self._own.preload,
                    plan.transfer, only_check=True,
                )  # fmt: skip
        finally:
            shutil.rmtree(work, ignore_errors=True)

    async def run(self, plan: Plan) -> Record:
        """Upgrade, and leave the newer server running; the units that use it are not started.

        Raises:
            ConflictError: somebody still uses the older server.
            UnavailableError: it failed; says whether the older cluster is as it was.
        """
        self._say("stopping what uses the database")
        self._units.stop()
        self.tidy()
        if self._old.lives():
            raise ConflictError(
                f"PostgreSQL still runs in {self._old.data}: name its unit last in"
                " postgres_upgrade.units"
            )
        try:
            record = await self._carried(plan)
            record = await self._verified(record)
        except BaseException as exc:
            self.tidy()
            if not self._shared:
                shutil.rmtree(self._work, ignore_errors=True)
            if isinstance(exc, AistackError | psycopg.Error):
                raise UnavailableError(f"{exc}; {self._left()}") from exc
            raise
        return self._swap(record)

    def resume(self) -> Record | None:
        """Go on with a run that was killed between its renames; None: there is no such run.

        Raises:
            ConflictError: a server was started in between.
            UnavailableError: the newer server does not start; says what was put back.
        """
        record = model.read(self._staged.data)
        if record is None or record.state != "verified" or not self.kept(record).exists():
            return None
        if self._old.version is not None:
            raise ConflictError(
                f"{self._old.data} and {self.kept(record)} are both clusters of PostgreSQL"
                f" {record.from_version}: move the one that is not yours away"
            )
        self._units.stop()
        return self._swap(record)

    def start(self) -> None:
        """Start the newer server in its place, and wait for its answer.

        Raises:
            UnavailableError: there is none.
        """
        # From now on somebody may write to it: no later run takes it out of its place.
        shutil.rmtree(self._work, ignore_errors=True)
        self._units.start_server()
        self._await()

    async def _carried(self, plan: Plan) -> Record:
        """The newer cluster, filled, and the record that says so."""
        if self._shared:
            record = model.read(self._staged.data)
            if record is not None:
                return record  # there is no other way than on
            # It got no further than pg_upgrade, which writes to no table that both have.
            control = self._old.data / "global" / "pg_control"
            control.with_name("pg_control.old").rename(control)
        shutil.rmtree(self._work, ignore_errors=True)
        self._prepare(self._work)
        self._say(f"counts and digests of all tables of PostgreSQL {plan.from_version}")
        with serving(self._old, self._quiet, self._own.dsn) as dsn:
            like = picture.origin(self._old, dsn)
            before = await picture.take(dsn)
        model.save(self._work / _BEFORE, msgspec.json.encode(before))
        self._say(f"an empty cluster of PostgreSQL {plan.to_version}")
        carry.make(self._old, self._staged, like)
        self._carry(plan, like, before)
        record = Record(
            from_version=plan.from_version,
            to_version=plan.to_version,
            method=plan.method,
            transfer=plan.transfer,
            state="carried",
            at=datetime.now(UTC),
            kept=plan.kept,
        )
        model.write(self._staged.data, record, self._staged.user)
        return record

    def _carry(self, plan: Plan, like: Origin, before: Picture) -> None:
        if plan.method == "dump":
            self._say("pg_dump into pg_restore, one database after the other")
            names = [one.name for one in before.databases]
            carry.dump(self._old, self._staged, like, names, self._own.preload)
            return
        for only_check in (True, False):
            self._say(f"pg_upgrade {'--check' if only_check else f'({plan.transfer})'}")
            carry.pg_upgrade(
                self._old, self._staged, self._work / "run", like.superuser, self._own.preload,
                plan.transfer, only_check=only_check,
            )  # fmt: skip

    async def _verified(self, record: Record) -> Record:
        """The same record, when the newer cluster holds what the older one held."""
        before = msgspec.json.decode((self._work / _BEFORE).read_bytes(), type=Picture)
        more = carry.preloading(self._own.preload)
        with serving(self._staged, more, self._own.dsn) as dsn:
            self._say(f"comparing them with PostgreSQL {record.to_version}")
            after = await picture.take(dsn)
            if found := picture.differences(before, after):
                raise UnavailableError(f"not the same as before: {', '.join(found)}")
            self._say("statistics for the planner")
            carry.analyze(self._staged, dsn)
            left = await picture.left(dsn, [one.name for one in after.databases])
        done = msgspec.structs.replace(
            record, state="verified", tables=after.tables, rows=after.rows, left=tuple(left)
        )
        model.write(self._staged.data, done, self._staged.user)
        return done

    def _swap(self, record: Record) -> Record:
        if self._old.lives():
            raise ConflictError(
                f"PostgreSQL {record.from_version} was started in {self._old.data} meanwhile, and"
                " may hold what was not carried over: stop it and run this again"
            )
        self._say(f"PostgreSQL {record.to_version} takes its place")
        if self._old.version is not None:
            self._old.data.rename(self.kept(record))
            disk.sync(self._old.data.parent)
        self._staged.data.rename(self._new.data)
        disk.sync(self._new.data.parent)
        try:
            self.start()
        except UnavailableError as exc:
            if record.transfer == "link":
                raise
            self._put_back(record)
            raise UnavailableError(f"{exc.detail}; {self._left()}") from exc
        return record

    def _put_back(self, record: Record) -> None:
        self._say("that failed: putting the older cluster back")
        self._units.stop()
        self._prepare(self._work)
        # Killed between these, it is what `resume` knows, and what the module's guard does.
        self._new.data.rename(self._staged.data)
        self.kept(record).rename(self._old.data)
        disk.sync(self._old.data.parent)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self._staged.data.rename(self._new.data.with_name(f"{self._new.data.name}.failed-{stamp}"))
        shutil.rmtree(self._work)

    def _await(self) -> None:
        """Wait until the newer server answers, and from the right folder."""
        until = time.monotonic() + _START_S
        while True:
            try:
                words = ("psql", "-XtA", f"--dbname={self._own.dsn}", "-c", "show data_directory")
                where = self._new.run(*words).strip()
            except process.FailedError as exc:
                if time.monotonic() > until:
                    raise UnavailableError(
                        f"PostgreSQL {self._new.major} does not answer ({exc.detail}); its log says"
                        " why"
                    ) from exc
            else:
                if Path(where).resolve() != self._new.data.resolve():
                    raise UnavailableError(
                        f"what answers is a server in {where}, not in {self._new.data}: switch to"
                        f" the configuration with PostgreSQL {self._new.major} first"
                    )
                return
            time.sleep(_LOOK_S)

    def _prepare(self, work: Path) -> None:
        user = self._new.user
        for folder in (work, work / "run"):
            folder.mkdir(mode=_PRIVATE, exist_ok=True)
            process.give(folder, user)

    @property
    def _quiet(self) -> dict[str, str]:
        return carry.QUIET | carry.preloading(self._own.preload)

    @property
    def _shared(self) -> bool:
        """Whether pg_upgrade has begun to link: then it has put this file of the older one away."""
        return (self._old.data / "global" / "pg_control.old").exists()

    def _left(self) -> str:
        if self._shared:
            return (
                "both clusters share their files by now: mend the cause and run this again, or"
                " restore the backup (aistack restore); the older cluster must not be started"
            )
        return (
            f"the older cluster is as it was, in {self._old.data}: mend the cause and run this"
            f" again, or switch back to the generation with PostgreSQL {self._old.major}"
        )
