"""Failed units: what the service manager says of one, and the end of its journal."""

from aistack.errors import AistackError
from aistack.issues.model import Event
from aistack.kit.process import run

_LINES = 60
_TIMEOUT_S = 10.0


def failure(
    unit: str,
    *,
    result: str | None,
    exit_code: str | None,
    exit_status: str | None,
    invocation: str | None,
) -> Event:
    """The event of a unit that failed.

    Args:
        unit: its name, as `aistack-gc.service`.
        result: ``exit-code``, ``signal``, ``timeout``, ``watchdog``, ``oom-kill`` ...
        exit_code: ``exited``, ``killed`` or ``dumped``.
        exit_status: a number or the name of a signal.
        invocation: id of the run that failed. All four as systemd tells them to a unit that is
            started by OnFailure=; None: it did not.
    """
    shown = _show(unit)
    result = result or shown.get("Result") or "unknown"
    ended = " ".join(filter(None, (exit_code, exit_status)))
    status = f" ({ended})" if ended and result not in ("timeout", "watchdog") else ""
    restarts = shown.get("NRestarts", "")
    return Event(
        kind="unit",
        message=f"{unit} failed: {result}{status}",
        component=unit.removesuffix(".service"),
        severity="high",
        source="systemd",
        stack=_journal(unit, invocation),
        context={
            "unit": unit,
            "result": result,
            "exit_code": exit_code,
            "exit_status": exit_status,
            "restarts": int(restarts) if restarts.isdigit() else None,
            "invocation": invocation,
        },
        # The same end of the same unit is one issue, also where its journal differs.
        fingerprint=f"unit {unit} {result} {ended}",
    )


def _show(unit: str) -> dict[str, str]:
    try:
        told = run(["systemctl", "show", "--property=Result,NRestarts", "--", unit], _TIMEOUT_S)
    except AistackError:
        return {}
    return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)


def _journal(unit: str, invocation: str | None) -> str:
    """The end of what the unit said, and of what the service manager said of it.

    Not by the id of the run: journald often looks it up only when a short run is over, and then it
    is missing from the very lines that tell why.
    """
    command = ["journalctl", "--quiet", "--no-pager", "--no-hostname"]
    try:
        since = _begin(command, invocation) if invocation else []
        shown = ["--output=short-iso", f"--lines={_LINES}", f"--unit={unit}", *since]
        return run([*command, *shown], _TIMEOUT_S)
    except AistackError as exc:
        return f"(the journal cannot be read: {exc.detail})"


def _begin(command: list[str], invocation: str) -> list[str]:
    """When the service manager first spoke of this run."""
    manager = ["_PID=1", f"INVOCATION_ID={invocation}"]
    first = run([*command, "--output=short-unix", *manager], _TIMEOUT_S).partition(" ")[0]
    return [f"--since=@{first}"] if first.replace(".", "", 1).isdigit() else []
