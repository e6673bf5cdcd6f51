"""No secret is stored: not in the spool, not in the database."""

import base64
import secrets
import string
from pathlib import Path

import pytest
from makings import event
from psycopg import sql

from aistack.access.keys import generate
from aistack.issues.drain import drain
from aistack.issues.model import IssueFilter
from aistack.issues.recorder import Recorder
from aistack.issues.redact import MARK, Redactor
from aistack.issues.spool import Spool
from aistack.issues.store import Issues
from aistack.stores.postgres import Postgres


def word(size: int = 24, letters: str = string.ascii_letters + string.digits) -> str:
    return "".join(secrets.choice(letters) for _ in range(size))


PEM = "-----BEGIN PRIVATE KEY-----\n" + "\n".join(word(64) for _ in range(4))
OWN = word(12)
"""A password of the stack: short, so only known by its value."""


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
    made[f"the peer said {OWN}!"] = OWN
    return made


PLACED = placed()


@pytest.mark.parametrize("text", PLACED, ids=range(len(PLACED)))
def test_a_secret_goes_and_its_neighbours_stay(text: str) -> None:
    told = Redactor([OWN]).text(text)
    assert PLACED[text] not in told
    assert MARK in told
    assert Redactor([OWN]).text(told) == told, "a second time changes nothing"


@pytest.mark.parametrize(
    "text",
    [
        "connection to server at 10.0.0.7, port 5432 failed",
        "unexpected token } in JSON at position 4",
        "the key is missing",
        "https://example.org/a?b=c#d",
        "password authentication failed for user",
        "token expired",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor().text(text) == text


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
    tmp_path: Path, issues: Issues, postgres: Postgres
) -> None:
    spool = Spool(tmp_path / "spool", 2**24)
    recorder = Recorder(Redactor([OWN]), spool)
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
