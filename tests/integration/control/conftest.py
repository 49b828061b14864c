"""The REST API of a running Akela, and users of it."""

from collections.abc import Iterator

import httpx
import pytest

from tests.akela_up import AkelaUp
from tests.rest import CONFIG, As, fresh, made, sign_in, signing_in, token_client


@pytest.fixture
def anonymous(akela: AkelaUp) -> Iterator[httpx.Client]:
    """A client without a token."""
    with httpx.Client(base_url=f"{akela.ready['api']}/api/v1", timeout=60, follow_redirects=True) as client:
        yield client


@pytest.fixture
def platform(akela: AkelaUp, anonymous: httpx.Client) -> Iterator[httpx.Client]:
    """The first user: platform-admin, and tenant-admin of the tenant default."""
    login = akela.ready["admin"]
    with token_client(anonymous.base_url, sign_in(anonymous, login["user"], login["password"])) as client:
        yield client


@pytest.fixture
def signed_in(platform: httpx.Client, anonymous: httpx.Client) -> Iterator[As]:
    """A client of a new user: `signed_in(tenant, role)`; the tenant is made if need be."""
    with signing_in(platform, anonymous) as as_:
        yield as_


@pytest.fixture
def api(signed_in: As) -> httpx.Client:
    """An admin of a tenant of its own."""
    return signed_in(fresh("tenant"))


@pytest.fixture
def app(api: httpx.Client) -> str:
    """An application with a configuration schema."""
    app = str(made(api.post("/applications", json={"name": "fleet"}))["id"])
    made(api.post(f"/applications/{app}/schemas", json={"kind": "config", "body": CONFIG}))
    return app
