"""TLS listeners: certificates by name, client certificates for the gate, new certificates without a restart."""

import asyncio
import os
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from broker import Accepted, BrokerStartError, ConnectRequest, KeyPair, Listener, Refused, Tls
from broker.broker import Broker
from broker.settings import BrokerSettings
from tests.brokers import Serve
from tests.certificates import Authority
from tests.mqtt import Wire, connect, publish, subscribe


class ByCertificate:
    """The client is who its certificate names."""

    name = "certificate"

    def __init__(self) -> None:
        self.seen: list[str | None] = []

    async def authenticate(self, request: ConnectRequest) -> Accepted | Refused:
        der = request.peer.certificate_der
        self.seen.append(x509.load_der_x509_certificate(der).subject.rfc4514_string() if der else None)
        return Accepted("", None)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def context(authority: Authority, pair: KeyPair | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(authority.file))
    if pair is not None:
        made.load_cert_chain(pair.certificate, pair.key)
    return made


async def open_tls(port: int, name: str, with_: ssl.SSLContext) -> Wire:
    return Wire(*await asyncio.open_connection("127.0.0.1", port, ssl=with_, server_hostname=name))


async def hello(wire: Wire) -> None:
    wire.send(connect("c"))
    assert await wire.packet() == (0x20, b"\x00\x00")


async def shown(port: int, name: str, authority: Authority) -> str:
    """The name in the certificate that the server shows."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context(authority), server_hostname=name)
    certificate: Any = writer.get_extra_info("peercert")
    writer.close()
    return str(certificate["subjectAltName"][0][1])


async def test_each_name_is_shown_its_certificate(serve: Serve, authority: Authority) -> None:
    tls = Tls(authority.pair("localhost"), names={"other.test": authority.pair("other.test")})
    port = await serve(listeners=(Listener(port=0, tls=tls),))
    await hello(await open_tls(port, "localhost", context(authority)))
    assert await shown(port, "localhost", authority) == "localhost"
    assert await shown(port, "other.test", authority) == "other.test"
    with pytest.raises(ssl.SSLCertVerificationError):
        await shown(port, "unknown.test", authority)


async def test_a_client_certificate_is_handed_to_the_gate(serve: Serve, authority: Authority) -> None:
    gate = ByCertificate()
    tls = Tls(authority.pair("localhost"), client_ca=authority.file)
    port = await serve(authenticators=[gate], listeners=(Listener(port=0, tls=tls),))
    await hello(await open_tls(port, "localhost", context(authority, authority.pair("meter-7"))))
    await hello(await open_tls(port, "localhost", context(authority)))
    assert gate.seen == ["CN=meter-7", None]


async def test_a_certificate_of_somebody_else_is_turned_away(
    serve: Serve, authority: Authority, tmp_path: Path
) -> None:
    tls = Tls(authority.pair("localhost"), client_ca=authority.file, client_required=True)
    port = await serve(listeners=(Listener(port=0, tls=tls),))
    stranger = Authority(tmp_path, "stranger").pair("meter-7")
    for pair in (stranger, None):
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            await hello(await open_tls(port, "localhost", context(authority, pair)))
    await hello(await open_tls(port, "localhost", context(authority, authority.pair("meter-7"))))


async def test_new_certificates_are_taken_up_and_bad_ones_are_not(serve: Serve, authority: Authority) -> None:
    pair = authority.pair("localhost", "server")
    port = await serve(listeners=(Listener(port=0, tls=Tls(pair)),))
    kept = await open_tls(port, "localhost", context(authority))
    await hello(kept)
    pair.key.write_text("broken")
    _later(pair)
    await asyncio.sleep(0)
    assert await shown(port, "localhost", authority) == "localhost"
    authority.pair("renamed.test", "server")
    _later(pair)
    async with asyncio.timeout(10):
        while True:
            try:
                assert await shown(port, "renamed.test", authority) == "renamed.test"
                break
            except ssl.SSLCertVerificationError:
                await asyncio.sleep(0.1)
    await kept.quiet()


def _later(pair: KeyPair) -> None:
    """Give the files a time of their own, however fast they were written one after the other."""
    stamp = pair.key.stat().st_mtime + 5
    os.utime(pair.key, (stamp, stamp))


async def test_files_that_cannot_be_used_are_named(authority: Authority, tmp_path: Path) -> None:
    good, missing = authority.pair("localhost"), tmp_path / "missing.pem"
    other = authority.pair("other")
    for tls in (
        Tls(KeyPair(missing, good.key)),
        Tls(KeyPair(good.certificate, other.key)),
        Tls(good, client_ca=missing),
    ):
        with pytest.raises(BrokerStartError, match=r"listener secure cannot listen on .*\.(crt|pem)"):
            await Broker(BrokerSettings(listeners=(Listener("secure", port=0, tls=tls),))).start()


async def test_mosquitto_s_client_speaks_tls_with_us(serve: Serve, authority: Authority) -> None:
    port = await serve(listeners=(Listener(port=0, tls=Tls(authority.pair("localhost"), client_ca=authority.file)),))
    mine = authority.pair("meter-7")
    command = [
        "mosquitto_pub",
        "-h",
        "localhost",
        "-p",
        str(port),
        "--cafile",
        str(authority.file),
        "-q",
        "1",
        "-t",
        "t",
        "-m",
        "x",
    ]
    command += ["--cert", str(mine.certificate), "--key", str(mine.key)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr


async def test_who_speaks_no_tls_harms_nobody(serve: Serve, authority: Authority) -> None:
    port = await serve(listeners=(Listener(port=0, tls=Tls(authority.pair("localhost"))),))
    with socket.create_connection(("127.0.0.1", port)) as plain:
        plain.sendall(connect("c"))
        await hello(await open_tls(port, "localhost", context(authority)))


async def test_records_cut_anywhere_and_joined_carry_the_same_messages(serve: Serve, authority: Authority) -> None:
    port = await serve(listeners=(Listener(port=0, tls=Tls(authority.pair("localhost"))),))
    wire = await Memory.connected(port, authority)
    await wire.send(connect("c") + subscribe(("t", 1)), pieces=7)
    assert await wire.read(9) == b"\x20\x02\x00\x00\x90\x03\x00\x0a\x01"
    large = publish("t", "x" * 100_000, qos=0)
    await wire.send(large + publish("t", "y"), pieces=300)
    assert await wire.read(len(large) + 6) == large + publish("t", "y")
    await wire.end()


async def test_a_client_that_never_ends_its_handshake_is_let_go(serve: Serve, authority: Authority) -> None:
    port = await serve(listeners=(Listener(port=0, tls=Tls(authority.pair("localhost"))),), connect_timeout_s=0.2)
    silent, half = await Wire.open(port), await Wire.open(port)
    half.send(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
    await silent.closed()
    await half.closed()


async def test_a_client_that_ends_without_a_closing_alert_is_lost(serve: Serve, authority: Authority) -> None:
    port = await serve(listeners=(Listener(port=0, tls=Tls(authority.pair("localhost"))),))
    listener = await open_tls(port, "localhost", context(authority))
    await hello(listener)
    await listener.subscribed(("will", 0))
    wire = await Memory.connected(port, authority)
    await wire.send(connect("cut-off", will=("will", "gone", 0, False)))
    await wire.read(4)
    wire.writer.close()
    assert (await listener.message()).payload == b"gone"


class Memory:
    """A TLS client whose records go out as the test cuts them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: Authority) -> None:
        self.reader, self.writer = reader, writer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context(authority).wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    @classmethod
    async def connected(cls, port: int, authority: Authority) -> "Memory":
        made = cls(*await asyncio.open_connection("127.0.0.1", port), authority)
        while True:
            try:
                made.tls.do_handshake()
            except ssl.SSLWantReadError:
                await made.flush(pieces=5)
                await made.more()
            else:
                await made.flush(pieces=1)
                return made

    async def send(self, data: bytes, pieces: int = 1) -> None:
        self.tls.write(data)
        await self.flush(pieces)

    async def flush(self, pieces: int) -> None:
        """Send what waits in so many pieces, each in a packet of its own as far as the socket lets us."""
        data = self.outgoing.read()
        size = max(len(data) // pieces, 1)
        for start in range(0, len(data), size):
            self.writer.write(data[start : start + size])
            await self.writer.drain()
            await asyncio.sleep(0)

    async def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                data += self.tls.read(count - len(data))
            except ssl.SSLWantReadError:
                await self.more()
        return data

    async def more(self) -> None:
        async with asyncio.timeout(10):
            received = await self.reader.read(65536)
        assert received, "the server has closed"
        self.incoming.write(received)

    async def end(self) -> None:
        """Say so, and wait for the server's end."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()
        await self.flush(pieces=1)
        async with asyncio.timeout(10):
            while received := await self.reader.read(65536):
                self.incoming.write(received)
        self.tls.unwrap()  # the server's own closing alert has come
