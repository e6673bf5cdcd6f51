"""No secret is stored: not in the spool, not in the database."""

import base64
import secrets
import string
import time
from pathlib import Path

import pytest
from makings import event
from psycopg import sql

from aistack.access.keys import generate
from aistack.issues.drain import drain
from aistack.issues.model import MESSAGE_CHARS, STACK_CHARS, IssueFilter
from aistack.issues.recorder import Recorder, redactor_of
from aistack.issues.redact import MARK, Redactor
from aistack.issues.spool import Spool
from aistack.issues.store import Issues
from aistack.settings.schema import Postgres, Settings
from aistack.settings.upkeep import Backup, Repository, Tls
from aistack.stores import postgres as stores


def word(size: int = 24, letters: str = string.ascii_letters + string.digits) -> str:
    return "".join(secrets.choice(letters) for _ in range(size))


LINES = [word(64) for _ in range(4)]
PEM = "-----BEGIN PRIVATE KEY-----\n" + "\n".join(LINES)
OWN = word(12)
"""A password of the stack: short, so only known by its value."""
OWN_LINE = word(64)
OWNS = [OWN, f"-----BEGIN PRIVATE KEY-----\n{OWN_LINE}\n-----END PRIVATE KEY-----\n"]


def placed() -> dict[str, str]:
    """Text with a secret -> the secret."""
    made = {}
    for form in (
        "password={}", 'password="{}"', "'passwd': '{}'", "PGPASSWORD={} psql", "api_key: {}",
        "X-API-Key: {}", "Authorization: Bearer {}", "authorization: Basic {}", "--token={} x",
        "postgresql://aistack:{}@db:5432/x", "redis://:{}@r:6379", "https://ann:{}@git.test/x",
        "cookie: session={}; path=/", "client_secret={}&grant=x", '{{"secret": "{}"}}',
        "http://{}@sentry.test/1 sentry_key={}",
    ):  # fmt: skip
        secret = word()
        made[form.replace("{}@s", "x@s").format(secret)] = secret
    short = "hunter2"
    made[f"login with password={short} failed"] = short
    key = generate()
    made[f"unknown key {key} from 10.0.0.1"] = key[-20:]
    github = "ghp_" + word(36)
    made[f"git said {github}, twice {github}"] = github
    aws = "AKIA" + word(16, string.ascii_uppercase + "234567")
    made[f"signed by {aws}"] = aws
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()
    signature = word(43)
    made[f"token was {head}.eyJ{word(40)}.{signature}"] = signature
    made[PEM + "\n-----END PRIVATE KEY-----\nafter"] = PEM.splitlines()[2]
    made[PEM] = PEM.splitlines()[3]
    cut = LINES[0][40:] + "\n" + "\n".join(LINES[1:])
    made[f"{cut}\nabc=\n-----END PRIVATE KEY-----\nafter"] = LINES[2]
    made[f"{cut}\nabc=\n-----END RSA PRIVATE KEY-----\n-----BEGIN PRIVATE KEY-----"] = LINES[0][40:]
    made[f"{cut}\n{LINES[0][:40]}"] = LINES[0][40:]
    made[f"the file:\n{cut}\r\n{LINES[0][:40]}\n"] = LINES[3]
    made[f"the key {OWN_LINE} alone"] = OWN_LINE
    many = ["ghp_" + word(36) for _ in range(50)]
    made["tokens: " + " ".join(many)] = many[-1]
    made[f"the peer said {OWN}!"] = OWN
    return made


PLACED = placed()


@pytest.mark.parametrize("text", PLACED, ids=range(len(PLACED)))
def test_a_secret_goes_and_its_neighbours_stay(text: str) -> None:
    told = Redactor(OWNS).text(text)
    assert PLACED[text] not in told
    assert MARK in told
    assert Redactor(OWNS).text(told) == told, "a second time changes nothing"


@pytest.mark.parametrize(
    "text",
    [
        "connection to server at 10.0.0.7, port 5432 failed",
        "unexpected token } in JSON at position 4",
        "the key is missing",
        "https://example.org/a?b=c#d",
        "password authentication failed for user",
        "token expired",
        "\n".join(f"{n:064x}" for n in range(3)),
        "a line\n" + "x" * 64 + "\nand another one",
        'Expecting: CERTIFICATE\nin File "a.py"',
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor().text(text) == text


def test_a_secret_is_not_cut_in_two_before_it_is_looked_for() -> None:
    token = "ghp_" + word(36)
    recorder = Recorder(Redactor(), None)
    given = event(
        f"{'m ' * (MESSAGE_CHARS // 2 - 5)}{token}", tags=(f"{'t ' * 28}{token}",),
        stack=f"{token} " + "s" * (STACK_CHARS - 20), component=f"{'c ' * 95}{token}",
    )  # fmt: skip
    found = str(recorder.prepare(given))
    assert token[:8] not in found
    assert token[-19:] not in found


HOSTILE = {
    "named": "token",
    "named, no value": "password-",
    "quotes": "token='\"",
    "begins": "-----BEGIN CERTIFICATE-----",
    "words of a begin": "-----BEGIN " + "A " * 5,
    "ends": "-----END CERTIFICATE-----",
    "words of an end": "-----BEGIN CERTIFICATE----------END A ",
    "one word of an end": "-----END CERTIFICATEX",
    "urls": "://a:",
    "bearers": "Bearer ",
    "blanks behind a bearer": "Bearer" + " " * 50_000,
    "cookies": "cookie: ",
    "words": "Ab0 ",
    "blanks between lines": "A" * 64 + " " * 50_000,
    "blanks behind a cookie": "cookie" + " " * 50_000,
    "own keys": "aistack_0123456789ab_",
    "lines": "A" * 64 + "\n",
    "lines of one": "A" * 64 + "\n\n",
    "newlines": "\n",
    "one long line": "Aa0+",
    "tokens": "eyJhbGciOiJIUzI1NiJ9.",
    "keys": "AKIA234567ABCDEFGHIJ ",
    "slack": "hooks.slack.com/services/t",
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_the_time_grows_as_the_text(piece: str) -> None:
    redactor = Redactor(OWNS)

    def took(size: int) -> float:
        text = (piece * (size // len(piece) + 1))[:size]
        times = []
        for _ in range(3):
            begun = time.thread_time()
            redactor.text(text)
            times.append(time.thread_time() - begun)
        return min(times)

    # In the square of the text it would be 16 times.
    quarter, whole = took(2**16), took(2**18)
    assert whole < 7 * quarter + 0.01, "four times the text, about four times the time"


def test_every_secret_of_the_settings_is_known(tmp_path: Path) -> None:
    names = ("postgres", "backup", "object", "sftp", "tls", "public")
    made = {name: word() for name in names}
    for name, value in made.items():
        (tmp_path / name).write_text(value + "\n")
    files = {name: str(tmp_path / name) for name in names}
    settings = Settings(
        postgres=Postgres(dsn="", password_file=files["postgres"]),
        tls=Tls(certificate_file=files["public"], key_file=files["tls"]),
        backup=Backup(
            key_file=files["backup"],
            repositories={
                "far": Repository(kind="s3", path="/", key_secret_file=files["object"]),
                "near": Repository(
                    kind="sftp", path="/", private_key_file=files["sftp"],
                    known_hosts_file=files["public"], ca_file=str(tmp_path / "none"),
                ),
            },
        ),
    )  # fmt: skip
    redactor = redactor_of(settings)
    for name in names[:-1]:
        assert redactor.text(f"said {made[name]}") == f"said {MARK}", name
    assert redactor.text(made["public"]) == made["public"]


def test_values_by_the_name_of_their_key() -> None:
    told = Redactor().value(
        {"password": "a", "nested": [{"api-key": 12, "Authorization": "x", "user": "ann"}],
         "token": None}
    )  # fmt: skip
    assert told == {
        "password": MARK,
        "nested": [{"api-key": MARK, "Authorization": MARK, "user": "ann"}],
        "token": None,
    }


@pytest.mark.anyio
async def test_nothing_of_it_reaches_disk_or_database(
    tmp_path: Path, issues: Issues, postgres: stores.Postgres
) -> None:
    spool = Spool(tmp_path / "spool", 2**24)
    recorder = Recorder(Redactor(OWNS), spool)
    texts = list(PLACED)
    for text in texts:
        given = event(
            text, kind=f"E {text}", component=text, stack=f"a\n{text}\nb", tags=(text,),
            context={"line": text, "deep": {"list": [text]}}, request_id=text, release=text,
            host=text,
        )  # fmt: skip
        recorder.spool([recorder.prepare(given)])
    on_disk = b"".join(p.read_bytes() for p in (tmp_path / "spool").iterdir())
    await drain(spool, issues)
    assert (await issues.list(IssueFilter())).issues
    tables = await postgres.fetch(
        "select relname from pg_class where relname like 'issue%%' and relkind = 'r'", {}
    )
    assert len(tables) >= 8
    stored = ""
    for table in tables:
        async with postgres.read() as conn:
            query = sql.SQL("select t::text as row from {} t").format(
                sql.Identifier(table["relname"])
            )
            stored += "\n".join(r["row"] for r in await (await conn.execute(query)).fetchall())
    assert len(stored) > 1000
    for secret in PLACED.values():
        assert secret.encode() not in on_disk
        assert secret not in stored
