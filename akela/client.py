"""A client of the REST API, which anyone can import: the CLI and the demo are made of it.

ClientError (AkelaError)
├── ApiError          the server refused; status, detail and the path of each wrong field
└── NotReachableError nobody answers there
"""

import secrets
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

import httpx

from akela.errors import AkelaError

Json = Any

TIMEOUT_S: Final = 15.0
TRIES: Final = 3
RETRY_S: Final = 0.3
PAGE: Final = 500


def path_of(*parts: str) -> str:
    """A path of the API: what is in a part never becomes another part."""
    return "".join(f"/{quote(part, safe='-')}" for part in parts)


class ClientError(AkelaError):
    """Root of the client's errors."""


class NotReachableError(ClientError):
    """Nobody answers at the API's address."""


class ApiError(ClientError):
    """The server refused."""

    def __init__(self, status: int, detail: str, errors: tuple[Mapping[str, str], ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors


class AkelaClient:
    """One API with one token. Follows a standby's redirect to the active server; repeats what reached nobody.

    `api` is an address, or several with commas between them: those of all Control servers, of which one may be down.
    """

    def __init__(self, api: str, token: str | None = None) -> None:
        self._apis = deque(address.strip().rstrip("/") for address in api.split(","))
        self.addresses = ",".join(self._apis)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._headers = headers
        self._http = httpx.Client(timeout=TIMEOUT_S, headers=headers)

    @property
    def api(self) -> str:
        """The address that is asked at present."""
        return self._apis[0]

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, **query: Json) -> Json:
        """A value. Raises: ApiError, NotReachableError."""
        return self._call("GET", path, query=query)

    def post(self, path: str, body: Json = None) -> Json:
        """Make something. Raises: ApiError, NotReachableError."""
        return self._call("POST", path, body)

    def create(self, path: str, body: Json) -> Json:
        """Make something, once, also when an answer gets lost on its way. Raises: ApiError, NotReachableError."""
        return _value(self._tried("POST", path, body, headers={"Idempotency-Key": secrets.token_hex(16)}))

    def put(self, path: str, body: Json, *, etag: str | None = None) -> Json:
        """Set something. `etag`: the revision that is meant; left out, the present one. Raises: ApiError, NotReachableError."""
        return self._call("PUT", path, body, etag=etag or self.etag(path))

    def replace(self, path: str, body: Json) -> None:
        """Set something that has no revision. Raises: ApiError, NotReachableError."""
        self._call("PUT", path, body)

    def patch(self, path: str, body: Json, *, etag: str | None = None) -> Json:
        """Change something by a JSON merge patch. Raises: ApiError, NotReachableError."""
        return self._call("PATCH", path, body, etag=etag or self.etag(path))

    def delete(self, path: str, /, *, etag: str | None = None, **query: Json) -> None:
        """Delete something. Raises: ApiError, NotReachableError."""
        self._call("DELETE", path, query=query, etag=etag or self.etag(path))

    def act(self, path: str, action: str, *, etag: str | None = None, body: Json = None) -> Json:
        """Do something to what is at `path`: POST {path}/{action}. Raises: ApiError, NotReachableError."""
        return self._call("POST", f"{path}/{action}", body, etag=etag or self.etag(path))

    def etag(self, path: str) -> str | None:
        """The ETag of what is at `path`; None when nothing is. Raises: ApiError, NotReachableError."""
        response = self._tried("GET", path)
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        _value(response)
        etag: str | None = response.headers.get("etag")
        return etag

    def every(self, path: str, **query: Json) -> Iterator[Json]:
        """All rows of a list, page by page. Raises: ApiError, NotReachableError."""
        cursor = None
        while True:
            page = self.get(path, limit=PAGE, cursor=cursor, **query)
            yield from page["items"]
            cursor = page.get("next")
            if cursor is None:
                return

    def login(self, user: str, password: str, ttl_s: int | None = None) -> Json:
        """Sign in and use the token from now on; gives the answer with `token`. Raises: ApiError, NotReachableError."""
        body = {"user": user, "password": password} | ({} if ttl_s is None else {"ttl_s": ttl_s})
        answer = self.post("/login", body)
        self._headers = {"Authorization": f"Bearer {answer['token']}"}
        self._http.headers.update(self._headers)
        return answer

    def application(self, name: str) -> str:
        """The token of an application that is named by name or by token. Raises: ApiError 404, NotReachableError."""
        named: list[Json] = []
        try:
            named = self.get("/applications", name=name)["items"]
        except ApiError as error:
            if error.status != httpx.codes.UNPROCESSABLE_ENTITY:  # that is no name
                raise
        if named:
            token: str = named[0]["id"]
            return token
        try:
            self.get(path_of("applications", name))
        except ApiError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
            raise ApiError(404, f"no application {name!r}; `akela app list` shows those that there are") from error
        return name

    def _call(
        self,
        method: str,
        path: str,
        body: Json = None,
        query: Mapping[str, Json] | None = None,
        etag: str | None = None,
    ) -> Json:
        return _value(self._tried(method, path, body, query, etag))

    def _tried(
        self,
        method: str,
        path: str,
        body: Json = None,
        query: Mapping[str, Json] | None = None,
        etag: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        params = {name: value for name, value in (query or {}).items() if value is not None}
        sent = dict(headers or {}) | ({} if etag is None else {"If-Match": etag})
        repeatable = method == "GET" or headers is not None
        tries = max(TRIES, 2 * len(self._apis))
        for attempt in range(1, tries + 1):
            try:
                return self._send(method, f"{self.api}/api/v1{path}", body, params, sent)
            except httpx.HTTPError as error:
                untold = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)  # nobody has heard of it
                if attempt == tries or not (untold or repeatable):
                    reason = str(error) or type(error).__name__
                    raise NotReachableError(
                        f"{self.api} does not answer ({reason}); is it the right address, and is Akela up?"
                    ) from error
                self._apis.rotate(-1)
                time.sleep(RETRY_S)
        raise AssertionError("the last try returns or raises")

    def _send(
        self, method: str, url: str, body: Json, params: Mapping[str, Json], headers: Mapping[str, str]
    ) -> httpx.Response:
        json = {} if body is None else {"json": body}
        response = self._http.request(method, url, params=params or None, headers=headers, **json)
        if response.status_code == httpx.codes.TEMPORARY_REDIRECT:  # a standby: the active server is over there
            response = self._http.request(method, response.headers["location"], headers=headers, **json)
        return response


def _value(response: httpx.Response) -> Json:
    if response.status_code == httpx.codes.NO_CONTENT:
        return None
    try:
        value = response.json()
    except ValueError:
        value = None
    if response.is_success and value is not None:
        return value
    if not isinstance(value, dict):
        raise ApiError(
            response.status_code, f"the answer is not Akela's ({response.status_code} {response.reason_phrase})"
        )
    raise ApiError(
        response.status_code, str(value.get("detail", response.reason_phrase)), tuple(value.get("errors", ()))
    )
