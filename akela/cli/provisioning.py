"""Provisioning endpoints from a CSV file: checked whole, then sent in batches, each of which may be repeated.

Passwords that the file does not give are made here and are safely on disk before the first batch leaves. So whatever is interrupted, the
same command with the same files goes on where it stopped and no password is lost.
"""

import csv
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from akela.cli.session import Session, print_json
from akela.client import ApiError, ClientError, NotReachableError
from akela.paths import write_private

BATCH: Final = 1000  # rows of one request, which is one change
SHOWN: Final = 20  # bad lines that are named
COLUMNS: Final = ("id", "credential")
PATIENCE_S: Final = 30.0  # how long a batch is repeated while another Control server takes over
PAUSE_S: Final = 0.5
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CREDENTIAL: Final = re.compile(r"[!-~]{16,128}")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the file."""

    line: int
    id: str
    credential: str | None


def provision(session: Session, path: str, source: Path, credentials: Path | None, *, skip_bad: bool) -> None:
    """Provision all endpoints of a file. Ends with exit code 1 when some of them are there with another password."""
    rows, bad = read_rows(source)
    if bad:
        _tell_bad(source, bad)
        if not skip_bad:
            raise click.UsageError(f"{source}: {len(bad)} bad lines; nothing was sent. Mend them, or give --skip-bad")
    if not rows:
        raise click.UsageError(f"{source}: no endpoints in it")
    made = credentials or source.with_name(source.name + ".credentials")
    rows = _with_credentials(rows, made)
    counts, others = _send(session, path, rows)
    wrote = str(made) if made.exists() else None
    if session.json:
        print_json({**counts, "bad": len(bad), "exists_ids": [row.id for row in others], "credentials": wrote})
    else:
        _tell_done(counts, others, wrote)
    if others:
        raise click.exceptions.Exit(1)


def read_rows(source: Path) -> tuple[list[Row], list[tuple[int, str]]]:
    """The rows of a file, and its bad lines: number and reason. Raises: UsageError when it is no such file."""
    try:
        with source.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            header = next(reader, None)
            if header is None or "id" not in header or set(header) - set(COLUMNS) or len(set(header)) != len(header):
                raise click.UsageError(
                    f"{source}, line 1: the columns are {', '.join(COLUMNS)} (credential may be left out)"
                )
            return _checked(reader, header)
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{source}: {getattr(error, 'strerror', None) or error}") from error


def _checked(reader: Any, header: Sequence[str]) -> tuple[list[Row], list[tuple[int, str]]]:
    rows: list[Row] = []
    bad: list[tuple[int, str]] = []
    seen: dict[str, int] = {}
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            bad.append((reader.line_num, f"no CSV: {error}"))
            continue
        if fields is None:
            return rows, bad
        if not fields:
            continue  # an empty line
        reason = _wrong(fields, header, seen)
        if reason is not None:
            bad.append((reader.line_num, reason))
            continue
        given = dict(zip(header, fields, strict=True))
        seen[given["id"]] = reader.line_num
        rows.append(Row(reader.line_num, given["id"], given.get("credential") or None))


def _wrong(fields: Sequence[str], header: Sequence[str], seen: dict[str, int]) -> str | None:
    if len(fields) != len(header):
        return f"{len(fields)} fields instead of {len(header)}"
    given = dict(zip(header, fields, strict=True))
    if not _ID.fullmatch(given["id"]):
        return f"id {given['id'][:80]!r}: 1 to 64 of A-Z a-z 0-9 . _ -"
    if given["id"] in seen:
        return f"id {given['id']} is on line {seen[given['id']]} already"
    if given.get("credential") and not _CREDENTIAL.fullmatch(given["credential"]):
        return "credential: 16 to 128 of ASCII without blanks"
    return None


def _with_credentials(rows: Sequence[Row], file: Path) -> list[Row]:
    """Every row with its password: its own, the one that an earlier run made, or a new one. New ones are written first."""
    if all(row.credential for row in rows):
        return list(rows)
    known: dict[str, str] = {}
    if file.exists():
        earlier, bad = read_rows(file)
        if bad:
            raise click.UsageError(f"{file}, line {bad[0][0]}: {bad[0][1]}; name another file with --credentials")
        known = {row.id: row.credential for row in earlier if row.credential}
    complete = [
        row if row.credential else replace(row, credential=known.get(row.id) or f"ake_{secrets.token_urlsafe(32)}")
        for row in rows
    ]
    made = known | {
        row.id: str(row.credential) for row, given in zip(complete, rows, strict=True) if not given.credential
    }
    try:
        write_private(file, "id,credential\n" + "".join(f"{ep},{secret}\n" for ep, secret in made.items()))
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}; name another file with --credentials") from error
    return complete


def _send(session: Session, path: str, rows: Sequence[Row]) -> tuple[dict[str, int], list[Row]]:
    """Send the rows; gives how many were created, unchanged, there already, and those that were there with another password."""
    counts = {"created": 0, "unchanged": 0, "exists": 0}
    others: list[Row] = []
    with _progress(len(rows)) as advance:
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            try:
                done = _sent(session, path, batch)
            except ClientError as error:
                said = f"{start} of {len(rows)} lines are done; the same command goes on from there. {error}"
                if isinstance(error, ApiError):
                    raise ApiError(error.status, said, error.errors) from error
                raise NotReachableError(said) from error
            for status in counts:
                counts[status] += done[status]
            there = {item["id"] for item in done["items"] if item["status"] == "exists"}
            others += [row for row in batch if row.id in there]
            advance(len(batch))
    return counts, others


def _sent(session: Session, path: str, batch: Sequence[Row]) -> Any:
    """Send a batch; while the servers change over, again."""
    body = {"items": [{"id": row.id, "credential": row.credential} for row in batch]}
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return session.client.post(path, body)
        except ClientError as error:
            passing = isinstance(error, NotReachableError) or getattr(error, "status", 0) in (429, 503)
            if not passing or time.monotonic() > deadline_s:
                raise
            time.sleep(PAUSE_S)


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """A bar on a terminal; nothing where nobody looks."""
    console = Console(stderr=True)
    columns = (TextColumn("endpoints"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("endpoints", total=total)
        yield lambda count: progress.advance(task, count)


def _tell_bad(source: Path, bad: Sequence[tuple[int, str]]) -> None:
    for line, reason in bad[:SHOWN]:
        click.echo(f"{source}, line {line}: {reason}", err=True)
    if len(bad) > SHOWN:
        click.echo(f"... and {len(bad) - SHOWN} more", err=True)


def _tell_done(counts: dict[str, int], others: Sequence[Row], wrote: str | None) -> None:
    click.echo(f"{counts['created']} created, {counts['unchanged']} unchanged")
    if wrote is not None:
        click.echo(f"passwords: {wrote}")
    if others:
        named = ", ".join(f"{row.id} (line {row.line})" for row in others[:SHOWN])
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        click.echo(f"{len(others)} are there with another password and stay as they are: {named}{more}", err=True)
