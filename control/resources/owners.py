"""Owners of endpoints, and the verifiers that say who is one."""

from typing import Any, Final, Literal

from pydantic import Field

from akela.documents import model
from akela.documents.model import Content
from akela.signing_keys import SigningKeyError, public_key
from control.core import Body, Caller, Core
from control.definitions import DEFINED_NAME, Definition, Description, NameField, routes
from control.problems import Problem
from control.resources.sinks import Url, checked_settings
from control.shapes import Defined, page_model

VerifierKind = Literal["trusting", "jwt", "webhook"]
Algorithm = Literal["ES256", "RS256", "EdDSA"]


class TrustingSettings(Body):
    """Whoever says so is the owner: for trials."""


class JwtSettings(Body):
    """A JSON Web Token signed with this key; its `sub` is the owner."""

    algorithm: Algorithm
    public_key: str = Field(max_length=8192, description="PEM")
    issuer: str | None = Field(default=None, max_length=255)
    audience: str | None = Field(default=None, max_length=255)


class WebhookSettings(Body):
    """POST to a URL, which answers 200 when the access token is the owner's."""

    url: Url
    timeout_s: int = Field(default=5, ge=1, le=60)


SETTINGS: Final[dict[str, type[Body]]] = {"trusting": TrustingSettings, "jwt": JwtSettings, "webhook": WebhookSettings}


class VerifierSettings(Body):
    """A verifier."""

    kind: VerifierKind
    settings: dict[str, Any] = Field(
        default={},
        description="jwt: algorithm, public_key, issuer, audience; webhook: url, timeout_s; trusting: nothing",
    )
    secret: str | None = Field(
        default=None,
        max_length=4096,
        description="signs what a webhook is sent; never shown; left out, it stays as it is",
    )
    description: Description = None


class NewVerifier(VerifierSettings):
    """A verifier."""

    name: NameField


class Verifier(Defined):
    """A verifier as it is shown."""

    kind: VerifierKind
    settings: dict[str, Any]
    has_secret: bool
    description: str | None


class VerifierFilters(Body):
    """How a list of verifiers may be narrowed."""

    kind: VerifierKind


class OwnerSettings(Body):
    """An owner."""

    verifier: str | None = Field(default=None, pattern=DEFINED_NAME, description="who verifies this owner's tokens")
    description: Description = None


class NewOwner(OwnerSettings):
    """An owner."""

    name: NameField


class Owner(Defined):
    """An owner as it is shown."""

    verifier: str | None
    description: str | None


def check_public_key(algorithm: str, text: str, path: str) -> None:
    """Raises: Problem 422 for what is no public key in PEM, or none that the algorithm takes."""
    try:
        public_key(algorithm, text)
    except SigningKeyError as error:
        raise Problem(422, str(error), [(path, str(error))]) from error


def check_owner(app: str, name: str | None) -> None:
    """Raises: Problem 422 for an owner that does not exist."""
    if name is not None and model.find("owner", f"{app}/{name}") is None:
        raise Problem(422, f"no owner {name!r}", [("/owner", f"no owner {name!r}")])


def _verifier_rule(app: str, content: Content, before: Content | None) -> None:
    checked_settings(SETTINGS, content)
    if content["kind"] == "jwt":
        settings = content["settings"]
        check_public_key(settings["algorithm"], settings["public_key"], "/settings/public_key")


def _owner_rule(app: str, content: Content, before: Content | None) -> None:
    name = content["verifier"]
    if name is not None and model.find("verifier", f"{app}/{name}") is None:
        raise Problem(422, f"no verifier {name!r}", [("/verifier", f"no verifier {name!r}")])


def _before_owner_delete(core: Core, caller: Caller, document: Content) -> None:
    """Take the owner's layer away. Raises: Problem 409 while endpoints are its own."""
    owned = model.find_one("endpoint", {"app": document["app"], "owner": document["name"]})
    if owned is not None:
        raise Problem(409, f"endpoint {owned['ep']!r} belongs to it, perhaps others too; give them another owner first")
    layer = model.find("configuration", f"{document['app']}/default/owner:{document['name']}")
    if layer is not None:
        core.delete(caller, "configuration", layer, document["app"])


VERIFIERS: Final = Definition(
    kind="verifier", plural="verifiers", settings=VerifierSettings, new=NewVerifier, shown=Verifier, listed=page_model(Verifier),
    rule=_verifier_rule, hidden=frozenset({"secret"}), filters=VerifierFilters,
)  # fmt: skip
OWNERS: Final = Definition(
    kind="owner", plural="owners", settings=OwnerSettings, new=NewOwner, shown=Owner, listed=page_model(Owner),
    rule=_owner_rule, before_delete=_before_owner_delete,
)  # fmt: skip
router = routes(OWNERS)
verifiers_router = routes(VERIFIERS)
