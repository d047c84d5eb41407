"""Beyond one network: STUN, TURN, https. A small STUN server of the test's own, and Debian's coturn where it is installed."""

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from test_server import Receiver, opened

import toy_live
from huashen import cli
from huashen.errors import UnreadableError
from huashen.server import checkup, run, webrtc
from toy_live import house, served

SEEN_AS = "203.0.113.7"  # an address for examples (RFC 5737)
COTURN = shutil.which("turnserver")


@pytest.fixture(scope="module", autouse=True)
def toys() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    toy_live.install(patch)
    yield
    patch.undo()


@contextmanager
def stun() -> Iterator[str]:
    """Answer every binding request with an address from which it seems to have come (RFC 8489)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind(("0.0.0.0", 0))
        door.settimeout(0.1)
        over = threading.Event()

        def answer() -> None:
            while not over.is_set():
                try:
                    asked, whence = door.recvfrom(2000)
                except TimeoutError:
                    continue
                mapped = bytes((0, 1)) + (4321 ^ 0x2112).to_bytes(2, "big")
                mapped += bytes(a ^ b for a, b in zip(socket.inet_aton(SEEN_AS), b"\x21\x12\xa4\x42", strict=True))
                body = b"\x00\x20\x00\x08" + mapped
                door.sendto(b"\x01\x01" + len(body).to_bytes(2, "big") + asked[4:20] + body, whence)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"stun:127.0.0.1:{door.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


@pytest.fixture(scope="module")
def turn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a TURN server on this machine that relays for me:secret."""
    if COTURN is None:
        pytest.skip("wants a TURN server: apt install coturn")
    folder = tmp_path_factory.mktemp("turn")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [COTURN, "-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", f"--listening-port={port}", "--lt-cred-mech",
               "--user=me:secret", "--realm=test", "--no-tls", "--no-dtls", "--no-cli", "--allow-loopback-peers",
               f"--pidfile={folder}/pid", f"--log-file={folder}/log", f"--userdb={folder}/db", "--simple-log"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert process.poll() is None, "coturn ended"
            time.sleep(0.05)
    yield f"turn:127.0.0.1:{port}"
    process.terminate()
    process.wait()


async def answered(address: str, id: str) -> str:
    """Return what a session answers to an offer."""
    receiver = Receiver()
    await receiver.peer.setLocalDescription(await receiver.peer.createOffer())
    offer = {"type": "offer", "sdp": receiver.peer.localDescription.sdp}
    async with aiohttp.ClientSession() as http, http.post(f"{address}/v1/sessions/{id}/offer", json=offer) as reply:
        assert reply.status == 200, await reply.text()
        answer = await reply.json()
    await receiver.close()
    return str(answer["sdp"])


def test_a_stun_server_tells_the_address_that_others_see() -> None:
    with stun() as server, served(house(ice_servers=[{"urls": server}])) as address, httpx.Client(base_url=address, timeout=60) as client:
        id = opened(client, chat="none")
        assert client.get(f"/v1/sessions/{id}").json()["ice_servers"] == [{"urls": server}], "the page takes the same"
        assert f" {SEEN_AS} 4321 typ srflx" in asyncio.run(answered(address, id))
        client.delete(f"/v1/sessions/{id}")


def test_a_stun_server_that_is_away_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from aioice.ice import Connection

    patience: list[float] = []
    gather = Connection.get_component_candidates

    async def noted(self: Any, component: int, addresses: list[str], timeout: float = 5) -> Any:
        patience.append(timeout)
        return await gather(self, component, addresses, timeout=0.05)

    monkeypatch.setattr(Connection, "get_component_candidates", noted)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        server = f"stun:127.0.0.1:{deaf.getsockname()[1]}"
        with served(house(ice_servers=[{"urls": server}])) as address, httpx.Client(base_url=address, timeout=60) as client:
            id = opened(client, chat="none")
            assert " typ host" in asyncio.run(answered(address, id))
            client.delete(f"/v1/sessions/{id}")
    assert webrtc.GATHERING in patience, "the server's own side"
    assert webrtc.GATHERING < 2.6, "the page takes the WebSocket then"


def test_where_nothing_else_goes_through_the_session_is_relayed(turn: str) -> None:
    """The client has no address but one at the relay; it takes the ICE servers that the session tells, as the page does."""
    server = {"urls": turn, "username": "me", "credential": "secret"}

    async def watch(address: str, id: str, servers: list[dict[str, str]]) -> tuple[str, str]:
        import aiortc

        ice = [aiortc.RTCIceServer(**one) for one in servers]
        receiver = Receiver(configuration=aiortc.RTCConfiguration(iceServers=ice, iceTransportPolicy=aiortc.RTCIceTransportPolicy.RELAY))
        async with aiohttp.ClientSession() as http, asyncio.timeout(60):
            answer = await receiver.connect(http, address, id)
            while not (len(receiver.video) > 5 and len(receiver.sound) > 20):
                await asyncio.sleep(0.02)
        offered = receiver.peer.localDescription.sdp
        await receiver.close()
        return offered, answer

    with served(house(ice_servers=[server])) as address, httpx.Client(base_url=address, timeout=60) as client:
        id = opened(client, chat="none")
        offered, answer = asyncio.run(watch(address, id, client.get(f"/v1/sessions/{id}").json()["ice_servers"]))
        kinds = {line.split(" typ ")[1].split()[0] for line in offered.splitlines() if " typ " in line}
        assert kinds == {"relay"}
        assert " typ relay" in answer, "the server has an address there too"
        client.delete(f"/v1/sessions/{id}")


def test_doctor_tells_whether_ice_servers_answer(turn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "_encoder", lambda: [])
    monkeypatch.setattr(checkup, "_ears", lambda: [])

    def told(*servers: dict[str, str]) -> tuple[str, str]:
        return next((check.state, check.words) for check in checkup.examine(port=0, ice_servers=list(servers)) if check.name == "ICE")

    with stun() as address:
        assert told({"urls": address})[0] == "fine"
    assert told({"urls": turn, "username": "me", "credential": "secret"})[0] == "fine"
    state, words = told({"urls": turn, "username": "me", "credential": "wrong"})
    assert state == "note"
    assert "password" in words


# --- https -------------------------------------------------------------------------------------------------------------------------


def certificate(folder: Path, *, days: int = 3) -> tuple[Path, Path]:
    """Write a certificate for localhost, signed by itself, and its key; one of a negative number of days is over."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=30)).not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    paper, secret = folder / "cert.pem", folder / "key.pem"
    paper.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return paper, secret


def test_a_session_runs_over_https(tmp_path: Path) -> None:
    paper, key = certificate(tmp_path)
    trusted = ssl.create_default_context(cafile=str(paper))
    with served(house(), certificate=paper, key=key) as address:
        assert address.startswith("https://localhost:")
        with httpx.Client(base_url=address, verify=trusted, timeout=60) as client:
            assert client.get("/").status_code == 200
            id = opened(client, chat="none")

            async def watch() -> int:
                count = 0
                async with aiohttp.ClientSession() as http, http.ws_connect(f"{address}/v1/sessions/{id}/stream", ssl=trusted) as line:
                    async with asyncio.timeout(60):
                        while count < 10:
                            count += (await line.receive()).type == aiohttp.WSMsgType.BINARY
                return count

            assert asyncio.run(watch()) == 10
            client.delete(f"/v1/sessions/{id}")


def test_a_certificate_that_cannot_be_used_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paper, key = certificate(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    _, foreign = certificate(other)
    for one, two in ((paper, foreign), (tmp_path / "none.pem", key), (key, key)):
        with pytest.raises(UnreadableError, match="PEM"):
            run.secured(one, two)
    wanted = {"cert.pem": (paper, foreign, "missing"), "signed by itself": (paper, key, "note")}
    over, late = certificate(other, days=-2)
    wanted["not today"] = (over, late, "missing")
    for words, (one, two, state) in wanted.items():
        checks = list(checkup._certificate(one, two))
        assert [check.state for check in checks] == [state]
        assert words in checks[0].words
    assert cli.main(["doctor", "--live", "--port", "0", "--certificate", str(over), "--key", str(late), "--json"]) == 3
    rows = json.loads(capsys.readouterr().out)
    assert [row["state"] for row in rows if "not today" in row["words"]] == ["missing"]
