"""What the tests of screening share: the corpora, and secrets that are made when they are needed.

No secret is written down here, not even a false one: scanners of repositories would find it.
"""

import json
import random
import string
from functools import cache
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parents[1] / "corpus"
_random = random.Random(20260108)  # noqa: S311 - the same ones each time
_ALNUM = string.ascii_letters + string.digits
_URL_SAFE = _ALNUM + "-_"


def lines(name: str) -> list[str]:
    return (CORPUS / name).read_text("utf-8").removesuffix("\n").split("\n")


def questions() -> list[str]:
    return lines("questions.txt")


def snippets() -> list[str]:
    return [json.loads(line)["text"] for line in lines("snippets.jsonl")]


def attacks() -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines("attacks.jsonl")]


def chars(count: int, alphabet: str = _ALNUM) -> str:
    """Random ones, with a digit at both ends so that no draw looks like words."""
    return "7" + "".join(_random.choices(alphabet, k=count - 2)) + "3"


@cache
def secrets() -> dict[str, list[str]]:
    """For each rule of credentials, texts that hold one."""
    upper, hexa = string.ascii_uppercase + "234567", "0123456789abcdef"
    b64 = _ALNUM + "+/"
    jwt = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    pem = "\n".join(chars(64, b64) for _ in range(4))
    value = chars(32)
    return {
        "aistack-key": [f"aistack_{chars(12, hexa)}_{chars(43, _URL_SAFE)}"],
        "aws-key": ["AKIA" + chars(16, upper).replace("3", "4"), "ASIA" + "Q7" + chars(14, upper)],
        "google-key": ["AIza" + chars(35)],
        "google-secret": ["GOCSPX-" + chars(28)],
        "github-token": ["ghp_" + chars(36), "ghs_" + chars(36),
                         f"github_pat_{chars(22)}_{chars(59)}"],
        "gitlab-token": ["glpat-" + chars(20)],
        "slack-token": [f"xoxb-{chars(12, '0123456789')}-{chars(24)}"],
        "slack-webhook": ["https://hooks.slack.com" + f"/services/T{chars(9, upper)}"
                          f"/B{chars(9, upper)}/{chars(24)}"],
        "stripe-key": ["sk_" + "live_" + chars(24), "rk_" + "live_" + chars(24)],
        "huggingface-token": ["hf_" + "".join(_random.choices(string.ascii_letters, k=34))],
        "npm-token": ["npm_" + chars(36)],
        "pypi-token": ["pypi-AgEIcHlwaS5vcmc" + chars(80)],
        "sendgrid-key": [f"SG.{chars(22)}.{chars(43)}"],
        "age-key": ["AGE-SECRET-KEY-1" + chars(58, upper)],
        "sk-key": ["sk-" + chars(48), "sk-proj-" + chars(48), "sk-ant-api03-" + chars(80)],
        "jwt": [jwt + "eyJ1c2VyIjoi" + chars(20) + "." + chars(43, _URL_SAFE)],
        "private-key": [f"-----BEGIN {kind}PRIVATE KEY-----\n{pem}\n-----END {kind}PRIVATE KEY-----"
                        for kind in ("", "RSA ", "EC ", "OPENSSH ")],
        "url-password": [f"postgresql://app:{chars(16)}@db.internal/app",
                         f"redis://:{chars(20)}@10.0.0.5:6379/0"],
        "assignment": [
            f'password = "{value}"', f"DB_PASSWORD={value}", f"password: {value}\n",
            f'{{"client_secret": "{value}"}}', f"api_key: '{value}'", f"auth-token={value}&x=1",
            f"AWS_SECRET_ACCESS_KEY={chars(40, b64)}", f'"apiKey" => "{value}"',
            f"services.foo.secret_key = '{chars(64, hexa)}';",
            'passwd = "kJ8#mQ2$vL9@xR4!"',
        ],
    }  # fmt: skip
