"""The page in a real browser: Debian's Chromium, headless, with a microphone that plays a file."""

import shutil
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import huashen
from huashen.server.house import House, Limits, ears, seen_faces
from toy_live import served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="wants playwright: pip install playwright")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="wants a browser: apt install chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required", "--use-fake-ui-for-media-stream",
         "--use-fake-device-for-media-stream"]  # fmt: skip
DOCS = """# Blue Lantern tea shop

## Opening hours
The shop is open from nine in the morning until six in the evening.

## Returns
Tea that has not been opened can be returned within thirty days.
"""


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file: two seconds of silence, a question, silence."""
    import soxr

    if shutil.which("flite") is None:
        pytest.skip("wants flite, whose English pocketsphinx understands: apt install flite")
    voice = huashen.load("tts", "flite", voice="male")
    said = np.concatenate([speech.audio.samples for speech in voice.speak("When is the shop open?")])
    sound = soxr.resample(said, voice.rate, 48_000)
    quiet = np.random.default_rng(0).normal(0, 1e-4, 48_000 * 2)
    path = tmp_path_factory.mktemp("microphone") / "question.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes((np.clip(np.concatenate([quiet, sound * 1.5, np.tile(quiet, 6)]), -1, 1) * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    docs = tmp_path_factory.mktemp("docs")
    (docs / "shop.md").write_text(DOCS)
    chat = huashen.load("chat", "faq", documents=docs)
    folder = tmp_path_factory.mktemp("uploads")
    house = House(seen_faces(["example"]), {"size": "192"}, {"faq": chat}, ears("pocketsphinx"), Limits(sessions=2), folder)
    with served(house) as place:
        yield place + "/"


@pytest.fixture(scope="module")
def browser(microphone: Path) -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={microphone}%noloop"]
        found = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield found
        found.close()


def opened(
    browser: Any, address: str, *, query: str = "", size: tuple[int, int] = (1280, 800), lang: str = "en-US"
) -> tuple[Any, list[str]]:
    """Open the page; return it and the errors it reports."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, locale=lang, permissions=["microphone"], bypass_csp=True)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address + query)
    page.wait_for_selector("#start:enabled", timeout=20_000)
    page.wait_for_selector("#faces label img", state="attached", timeout=20_000)
    return page, errors


def start(page: Any) -> float:
    """Begin a conversation; return the seconds until it is connected."""
    begun = time.monotonic()
    page.click("#start")
    page.wait_for_selector("#curtain", state="hidden", timeout=30_000)
    return time.monotonic() - begun


def picture(page: Any) -> Any:
    """Return what is seen of the person, as grey values of a small copy."""
    values = page.evaluate("""() => {
        const from = ["video", "canvas"].map((id) => document.getElementById(id)).find((e) => !e.hidden);
        const to = document.createElement("canvas");
        to.width = to.height = 64;
        const drawing = to.getContext("2d");
        drawing.drawImage(from, 0, 0, 64, 64);
        return [...drawing.getImageData(0, 0, 64, 64).data].filter((_, i) => i % 4 == 1);
    }""")
    return np.array(values, np.float64).reshape(64, 64)


@pytest.mark.parametrize("transport", ["webrtc", "websocket"])
def test_the_person_is_seen_moves_and_is_interrupted(browser: Any, address: str, transport: str) -> None:
    page, errors = opened(browser, address, query=f"?transport={transport}")
    start(page)
    assert page.evaluate("huashen.line.kind") == transport
    page.wait_for_timeout(1200)
    first = picture(page)
    assert first.std() > 25, "a face, not a plain colour"
    page.check("input[value=say]", force=True)
    page.fill("#text", "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen.")
    page.press("#text", "Enter")
    page.wait_for_function("document.body.dataset.mood === 'speaking'", timeout=10_000)
    page.wait_for_timeout(1500)
    assert np.abs(picture(page) - first).max() > 12, "the mouth moves"
    assert page.inner_text("#caption")
    page.click("#hush")
    page.wait_for_function("document.body.dataset.mood === 'idle'", timeout=3_000)
    struck = page.wait_for_selector("#log .rest", timeout=3_000)
    assert "fifteen" in struck.inner_text()
    page.wait_for_timeout(400)
    shut = [picture(page)]
    page.wait_for_timeout(300)
    shut.append(picture(page))
    assert page.inner_text("#log .avatar").startswith("One")
    if transport == "webrtc":
        report = page.evaluate("""async () => { for (const r of (await huashen.line.stats()).values())
            if (r.type === "inbound-rtp" && r.kind === "audio") return [r.packetsReceived, r.totalAudioEnergy]; }""")
        assert report[0] > 50
        assert report[1] > 1e-4, "sound was heard"
    else:
        apart = page.evaluate("(() => { const a = [...huashen.shownAt].sort((x, y) => x - y); return a[a.length >> 1]; })()")
        assert -0.1 < apart < 0.045, "pictures are shown with their sound"
    assert errors == []
    page.context.close()


def test_a_spoken_question_is_heard_and_answered(browser: Any, address: str) -> None:
    page, errors = opened(browser, address)
    start(page)
    page.click("#microphone")
    page.wait_for_selector("#log .person:not(.partial)", timeout=25_000)
    # which words PocketSphinx makes of it is its own affair; that there are some, and that they are answered, is ours
    heard = page.inner_text("#log .person")
    assert "open" in heard or "shop" in heard
    page.wait_for_selector("#log .avatar", timeout=15_000)
    page.wait_for_function("document.body.dataset.mood === 'speaking'", timeout=5_000)
    assert len(page.inner_text("#log .avatar")) > 20
    page.wait_for_function("huashen.times.total", timeout=5_000)
    assert 0 < page.evaluate("huashen.times.total") < 3000, "from the last word to the first sound; on a machine that does much else"
    assert errors == []
    page.context.close()


def test_where_udp_is_blocked_the_page_takes_the_websocket_within_three_seconds(browser: Any, address: str) -> None:
    context = browser.new_context(bypass_csp=True)
    # what a firewall does: every candidate is lost on the way
    context.add_init_script("""
        const set = RTCPeerConnection.prototype.setRemoteDescription;
        RTCPeerConnection.prototype.setRemoteDescription = function (d) {
            return set.call(this, { type: d.type, sdp: d.sdp.replace(/^a=candidate:.*\\r\\n/gm, "") });
        };
        const local = Object.getOwnPropertyDescriptor(RTCPeerConnection.prototype, "localDescription").get;
        Object.defineProperty(RTCPeerConnection.prototype, "localDescription", { get() {
            const d = local.call(this);
            return d && { type: d.type, sdp: d.sdp.replace(/^a=candidate:.*\\r\\n/gm, "") };
        } });
    """)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#start:enabled", timeout=20_000)
    page.wait_for_selector("#faces label img", state="attached", timeout=20_000)
    page.evaluate("""() => { window.began = 0; window.took = 0;
        const open = WebSocket;
        window.WebSocket = function (...a) { window.took = performance.now() - window.began; return new open(...a); };
        window.WebSocket.OPEN = open.OPEN;
        const peer = RTCPeerConnection;
        window.RTCPeerConnection = function (...a) { window.began = performance.now(); return new peer(...a); }; }""")
    page.click("#start")
    page.wait_for_selector("#curtain", state="hidden", timeout=30_000)
    assert page.evaluate("huashen.line.kind") == "websocket"
    assert 0 < page.evaluate("window.took") < 3000
    page.wait_for_timeout(1000)
    assert picture(page).std() > 25
    context.close()


def test_on_a_phone_in_chinese_nothing_overflows_and_nothing_is_english(browser: Any, address: str) -> None:
    page, errors = opened(browser, address, size=(390, 844), lang="zh-CN")
    start(page)
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth && document.documentElement.scrollHeight <= innerHeight + 1")
    for wanted in ("#text", "#send", "#settings-open", "#language", "#state"):
        box = page.locator(wanted).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 391, wanted
    page.click("#settings-open")
    shown = page.inner_text("body")
    for english in ("Ask", "Settings", "Voice", "Background", "Automatic", "Example", "Start"):
        assert english not in shown.replace("English", ""), english
    assert errors == []
    page.context.close()
