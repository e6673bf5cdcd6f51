"""Commands of the host."""

import asyncio


class CommandError(Exception):
    """A command failed that must not."""


async def run(*command: str, check: bool = True) -> str:
    """What a command prints; where it may fail, also of one that did."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    if check and process.returncode:
        raise CommandError(f"{' '.join(command)}: {process.returncode} {errors.decode()[-500:]}")
    return out.decode()


async def sql(query: str) -> list[list[str]]:
    """The rows of a query to the stack's database, as its superuser."""
    psql = ("psql", "--no-psqlrc", "--dbname=aistack", "--tuples-only", "--no-align")
    out = await run("runuser", "-u", "postgres", "--", *psql, "--command", query)
    return [line.split("|") for line in out.splitlines() if line]
