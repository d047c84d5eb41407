"""`huashen doctor --live`: what a machine lacks for live sessions."""

import json
import socket

import pytest

from huashen import cli
from huashen.server import checkup


def found(**given: object) -> dict[str, tuple[str, str]]:
    return {check.name: (check.state, check.words) for check in checkup.examine(**given)}  # type: ignore[arg-type]


def test_a_machine_that_can_is_told_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    checks = checkup.examine(port=port)
    assert {check.name: check.state for check in checks}["port"] == "fine"
    assert {check.name: check.state for check in checks}["WebRTC"] == "fine"
    assert "pictures" in next(check.words for check in checks if check.name == "encoder")
    assert checkup.report(checks).endswith("live sessions can run here")


def test_a_port_that_is_taken_is_named_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["doctor", "--live", "--port", str(port), "--json"]) == 3
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["port"]["state"] == "missing"
    assert str(port) in rows["port"]["words"]
    assert "--port" in rows["port"]["words"]


def test_the_microphone_wants_https_beyond_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "_webrtc", lambda servers: [])
    monkeypatch.setattr(checkup, "_encoder", lambda: [])
    assert found(host="0.0.0.0", port=0)["microphone"][0] == "note"
    assert "--certificate" in found(host="0.0.0.0", port=0)["microphone"][1]
    assert found(host="0.0.0.0", port=0, secure=True)["microphone"][0] == "fine"
    assert found(port=0)["microphone"][0] == "fine"


def test_udp_that_is_blocked_and_a_slow_encoder_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def blocked(servers: object) -> tuple[float, set[str]]:
        raise TimeoutError

    class Slow:
        def __init__(self, fps: object) -> None:
            pass

        def encode(self, image: object) -> tuple[int, bytes]:
            import time

            time.sleep(0.1)
            return 4, b""

    monkeypatch.setattr(checkup, "_pair", blocked)
    monkeypatch.setattr("huashen.server.socket.Encoder", Slow)
    monkeypatch.setattr(checkup, "SECONDS", 0.3)
    checks = checkup.examine(port=0)
    told = {check.name: (check.state, check.words) for check in checks}
    assert told["WebRTC"][0] == "note"
    assert "WebSocket" in told["WebRTC"][1]
    assert told["encoder"][0] == "missing"
    assert "--size" in checkup.report(checks).splitlines()[-1]


def test_a_stun_server_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def local(servers: object) -> tuple[float, set[str]]:
        return 0.1, {"host"}

    monkeypatch.setattr(checkup, "_pair", local)
    monkeypatch.setattr(checkup, "_encoder", lambda: [])
    assert found(port=0, ice_servers=[{"urls": "stun:stun.example.org"}])["ICE"][0] == "note"
    assert "stun.example.org" in found(port=0, ice_servers=[{"urls": "stun:stun.example.org"}])["ICE"][1]
