"""What Control does with endpoints' credentials and certificates, and how it shows them. Rules: `akela.credentials`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from akela.credentials import MAX_VALID, Credential, Standing, with_retired
from akela.documents.model import Content
from control.core import now
from control.problems import Problem, not_found
from control.secrets import digest, new_id


def fresh(secret: str, moment: datetime | None = None) -> Content:
    """A credential as it is stored."""
    return {"id": new_id(), "kind": "token", "hash": digest(secret), "created": moment or now()}


def rotated(document: Content, secret: str) -> tuple[str, Content]:
    """(id of the new credential, what changes). Those that count no more are left out. Raises: Problem 409 when two are good already."""
    standing = Standing.of(document)
    if len(standing.valid) >= MAX_VALID:
        raise Problem(409, f"an endpoint has at most {MAX_VALID} credentials; delete one first")
    made = fresh(secret, standing.next_moment(now()))
    return made["id"], {"credentials": [*_counting(document, standing), made]}


def without(document: Content, number: str) -> Content:
    """What changes when a credential is taken away, whoever issued it. Raises: Problem 404."""
    if number not in {credential.id for credential in Standing.of(document).valid}:
        raise not_found("credential", number)
    return {"retired": with_retired(document, number, now())}


def shown(document: Content) -> list[Content]:
    """An endpoint's credentials, without their text: those that are good."""
    return [_shown(credential) for credential in Standing.of(document).valid]


def _counting(document: Content, standing: Standing) -> list[Mapping[str, Any]]:
    """Control's own credentials that still decide something: the good ones, and those that are retired but not forgotten."""
    good = {credential.id for credential in standing.valid}
    return [entry for entry in document.get("credentials") or () if entry["id"] in good]


def _shown(credential: Credential) -> Content:
    return {"id": credential.id, "kind": credential.kind, "used": credential.used}
