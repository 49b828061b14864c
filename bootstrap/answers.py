"""What a Bootstrap server answers: the list of Operations servers as endpoints should see it, signed. No socket, no clock."""

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from akela.contract.bootlist import ServerEntry, ServerList, key_id, sign
from akela.coordination import Member

EMPTY_TTL_S: Final = 10  # how long "there is no server" may be believed
BACKOFF_MIN_S: Final = 1.0
BACKOFF_MAX_S: Final = 60.0
MAX_WEIGHT: Final = 100


class Answers:
    """Signed lists under one key. `members` are the Operations servers that coordination lists."""

    def __init__(self, key: Ed25519PrivateKey, ttl_s: int) -> None:
        self._key = key
        self._kid = key_id(key.public_key())
        self._ttl_s = ttl_s
        self.members: Mapping[str, Member] = {}

    def signed(self, *, now_s: float, nonce: str | None = None) -> bytes:
        """The payload of one answer, issued now."""
        servers = entries(self.members)
        ttl_s = self._ttl_s if servers else EMPTY_TTL_S
        listed = ServerList(servers, ttl_s, BACKOFF_MIN_S, BACKOFF_MAX_S, int(now_s), self._kid, nonce)
        return sign(listed, self._key)


def entries(members: Mapping[str, Member]) -> tuple[ServerEntry, ...]:
    """The servers that take endpoints, in the order of their ids; the more connections one has, the less its weight."""
    serving = [member for _, member in sorted(members.items()) if not member.payload.get("draining")]
    loads = [_connections(member) for member in serving]
    least = min(loads, default=0)
    return tuple(
        ServerEntry(
            host=str(member.payload["mqtt"]["host"]),
            port=int(member.payload["mqtt"]["port"]),
            tls=member.payload.get("tls"),
            ws=member.payload.get("ws"),
            weight=max(1, round(MAX_WEIGHT * (least + 1) / (load + 1))),
        )
        for member, load in zip(serving, loads, strict=True)
    )


def _connections(member: Member) -> int:
    load = member.payload.get("load") or {}
    return int(load.get("connections", 0))
