"""The sections of what looks after the stack: collection, backups, health, certificates, issues."""

from typing import Annotated

from msgspec import Meta, field

from aistack.settings.names import Identifier
from aistack.settings.section import HttpUrl, Port, Positive, Section


class GarbageCollection(Section, frozen=True, kw_only=True):
    """What garbage collection takes away, and how much of it at once."""

    max_age_days: Positive = 30
    """Since a solution was learned or last served; then it goes if its value is low."""
    min_value: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """Value from which a solution does not expire."""
    hard_max_age_days: Positive | None = None
    """Since a solution was learned; then it goes whatever its value. Not set: never."""
    duplicate_similarity: Annotated[float, Meta(ge=0.5, le=1)] = 0.95
    """Question and answer must both be as similar for two solutions to be duplicates."""
    max_solutions: Positive = 100_000
    """Above this the least valuable go."""
    keep_ratio: Annotated[float, Meta(gt=0, le=1)] = 0.8
    """The share of max_solutions that stays then."""
    max_fraction: Annotated[float, Meta(gt=0, le=1)] = 0.05
    """Largest share of all solutions that a run takes for age or as duplicates; at least one."""
    grace_s: Positive = 3600
    """Points of the index and documents that changed later than this ago are left alone."""
    trash_days: Annotated[int, Meta(ge=1, le=3650)] = 7
    """How long a run can be undone."""
    interactions_days: Annotated[int, Meta(ge=0)] = 365
    """Interactions go when they are older. 0: never."""
    history_days: Positive = 365
    """Runs with their deletions, and what was done to API keys, are forgotten when older."""


class Repository(Section, frozen=True, kw_only=True):
    """A place for backups: below it `pgbackrest` and `restic` have a folder each."""

    kind: Annotated[str, Meta(pattern="^(directory|s3|sftp)$")] = "directory"
    path: str
    """An absolute folder; of S3, the first part of all keys, with a slash before it."""
    host: str = ""
    """S3: the endpoint's name, without https://. SFTP: the server."""
    port: Port | None = None
    region: str = "us-east-1"
    bucket: str = ""
    key_id_file: str | None = None
    key_secret_file: str | None = None
    ca_file: str | None = None
    """PEM file of the authority that signed an S3 endpoint's certificate; not set: the system's."""
    user: str = ""
    private_key_file: str | None = None
    """SFTP: a private key in PEM format that needs no passphrase."""
    known_hosts_file: str | None = None
    """SFTP: the server's host keys, as ssh-keyscan prints them."""


class Retention(Section, frozen=True, kw_only=True):
    """How many backups stay: the newest of each day, week and month, of the last that have one."""

    daily: Positive = 7
    weekly: Annotated[int, Meta(ge=0)] = 4
    monthly: Annotated[int, Meta(ge=0)] = 12
    any_second_days: Positive = 7
    """Every second of so many days back can be restored; before that, the kept backups."""


class Backup(Section, frozen=True, kw_only=True):
    """Backups of PostgreSQL and of the index, and how they are proved."""

    repositories: dict[Identifier, Repository] = field(default_factory=dict)
    """By name; each gets everything. None: there are no backups."""
    key_file: str | None = None
    """The key that encrypts every repository."""
    dsn: str = "host=/run/postgresql dbname=aistack user=postgres"
    """The database of postgres.dsn as its superuser, over a socket of this host."""
    data_dir: str = ""
    """The data folder of PostgreSQL, for physical backups and for a restore."""
    state_dir: str = "/var/lib/aistack-backup"
    """Spool, locks, caches, and scratch servers of drills: as large as the database."""
    stanza: Identifier = "aistack"
    """pgBackRest's name for this PostgreSQL: two that share a repository need two."""
    full_days: Positive = 7
    """A whole physical backup comes when the last one is as old; others hold only what changed."""
    logical_days: Positive = 7
    """Days between two logical dumps."""
    retention: Retention = field(default_factory=Retention)
    archive_timeout_s: Positive = 180
    """Longest wait for a WAL segment to reach a repository; PostgreSQL asks again once a minute."""
    max_age_hours: Positive = 26
    """Age of the last backup from which that is a warning; from twice as much, a failure."""
    verify_parts: Annotated[int, Meta(ge=1, le=52)] = 4
    """So many weekly verifications read every byte of the restic repositories once."""
    restore_command: str = 'aistack backup archive-get %f "%p"'
    """How a restored PostgreSQL fetches WAL."""
    units: tuple[str, ...] = ()
    """systemd units that a restore in place stops and starts again: the server is the last."""


class PostgresUpgrade(Section, frozen=True, kw_only=True):
    """From which major version of PostgreSQL to which `aistack postgres upgrade` goes."""

    from_programs: str = ""
    """Folder of the older one's programs."""
    from_data_dir: str = ""
    """The older one's data folder."""
    programs: str = ""
    """Folder of the newer one's programs."""
    data_dir: str = ""
    """The newer one's data folder: beside the older one, and not there yet."""
    dsn: str = "host=/run/postgresql dbname=postgres user=postgres"
    """The server as its superuser, over a socket of this host."""
    preload: str = ""
    """shared_preload_libraries of both."""
    units: tuple[str, ...] = ()
    """systemd units that are stopped and started again: the server is the last."""


DEPENDENCIES = (
    "postgres", "qdrant", "redis", "embeddings", "disk", "outbox", "backup", "certificate",
)  # fmt: skip
"""What the services watch."""


class Health(Section, frozen=True, kw_only=True):
    """How the parts that a service depends on are watched."""

    interval_s: Annotated[float, Meta(ge=0.1, le=300)] = 5.0
    """Between two looks at a dependency."""
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 1.0
    """Longest look; at most a quarter of the interval keeps the promise of two intervals."""
    critical: tuple[str, ...] = ("postgres",)
    """Dependencies (of `DEPENDENCIES`) without which a service is not ready."""
    outbox_s: Positive = 60
    """Seconds that a document may wait for the index before that is a warning."""
    disk_paths: tuple[str, ...] = ("/",)
    """Folders on whose file systems free space is watched."""
    disk_free: Annotated[float, Meta(ge=0, le=1)] = 0.1
    """Share of a file system below which it is a warning; below half of it, a failure."""
    certificates: tuple[str, ...] = ()
    """``name:port``, or ``name@host:port``, where TLS is served; `aistack health` looks, too."""


class Host(Section, frozen=True, kw_only=True):
    """What `aistack health` looks at."""

    units: tuple[str, ...] = ()
    """systemd units that run, or are one-shots that must not have failed."""
    timers: tuple[str, ...] = ()
    """systemd timers that wait for their time."""
    services: dict[str, str] = field(default_factory=dict)
    """Name to base URL of services that answer at /health/ready."""
    instances: dict[str, str] = field(default_factory=dict)
    """The same of instances behind a balancer: the others stand in for one that is not ready."""
    jobs: dict[str, Positive] = field(default_factory=dict)
    """Job of the ledger to the hours within which it has to work."""
    ports: tuple[str, ...] = ()
    """``host:port`` where somebody listens."""
    disk_paths: tuple[str, ...] = ("/",)
    """Folders on whose file systems space and inodes are watched, by health.disk_free."""


class Tls(Section, frozen=True, kw_only=True):
    """The certificate of nginx: where it comes from, where it lies, how it is renewed."""

    provider: Annotated[str, Meta(pattern="^(selfSigned|acme|certbot|files)$")] = "selfSigned"
    """Who makes it: an authority of this host's own, NixOS's ACME client, certbot, or somebody."""
    names: tuple[str, ...] = ()
    """DNS names that it has to be of."""
    certificate_file: str | None = None
    """Where the provider leaves the certificate with its chain; not with selfSigned."""
    key_file: str | None = None
    obtain_command: tuple[str, ...] = ()
    """Makes certbot get a new certificate; run when one is due."""
    ask_command: tuple[str, ...] = ()
    """Makes certbot ask its CA whether it wants one renewed early (ARI); run when none is due."""
    staging: bool = False
    """Whether one of a CA's staging environment, which no client trusts, will do."""
    renew_at: Annotated[float, Meta(ge=0.05, le=0.9)] = 0.33
    """The part of its lifetime that is left when it is renewed; half of it below ten days."""
    self_signed_days: Annotated[int, Meta(ge=2, le=825)] = 90
    """Lifetime of one by this host's own authority; that itself lives ten years."""
    folder: str = "/var/lib/aistack-tls"
    """nginx reads ``live/fullchain.pem`` and ``live/privkey.pem`` below it."""
    served_at: str = "127.0.0.1:443"
    """Where this host reaches nginx, as ``host:port``."""
    test_command: tuple[str, ...] = ()
    """Lets nginx read its configuration with ``next`` in place of ``live``; fails if it cannot."""
    reload_command: tuple[str, ...] = ()
    """Lets nginx read its certificate anew, and waits until it was told."""


class Tracing(Section, frozen=True, kw_only=True):
    """Traces of requests, for a collector that speaks OpenTelemetry's protocol."""

    endpoint: HttpUrl | None = None
    """Base URL of a collector that takes OTLP over HTTP; not set: nothing is traced."""
    sample_ratio: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """Share of the traces that are taken."""
    headers_file: str | None = None
    """File with headers for the collector, one ``Name: value`` a line: a key is a secret."""


class Notify(Section, frozen=True, kw_only=True):
    """Whom the tracker tells of new, regressed and spiking issues; by default nobody."""

    webhook_url_file: str | None = None
    """File with a URL that takes a POST of JSON; it may hold a token, so it is a secret."""
    ntfy_url_file: str | None = None
    """File with the URL of a topic of ntfy."""
    ntfy_token_file: str | None = None
    mail_to: str | None = None
    mail_from: str = "aistack@localhost"
    sendmail: str = "/run/wrappers/bin/sendmail"
    """Program that takes a message on standard input, as sendmail -t does."""
    per_hour: Annotated[int, Meta(ge=1, le=1000)] = 20
    """Most notifications in an hour, of all hosts; the next one says how many were held back."""


class Issues(Section, frozen=True, kw_only=True):
    """The issue tracker."""

    spool: str | None = None
    """Folder where events wait for PostgreSQL; without one they are lost while it is away."""
    spool_bytes: Annotated[int, Meta(ge=1024 * 1024)] = 256 * 1024 * 1024
    """What it may hold; what comes then is refused."""
    occurrences: Annotated[int, Meta(ge=1, le=1000)] = 20
    """Events that each issue keeps whole, the newest."""
    most: Annotated[int, Meta(ge=100)] = 100_000
    """Above this the least worth keeping go; never pinned, nor critical ones that nobody ended."""
    rates_days: Annotated[int, Meta(ge=2, le=3650)] = 30
    """How long the counts of each five minutes are kept."""
    quiet_days: Positive = 14
    """An active issue without an event for so long is proposed for closing."""
    notify: Notify = field(default_factory=Notify)
