"""The page in a real browser: Debian's Chromium, headless, with a microphone that plays a file.

Nothing here is a race: what takes time is waited for, a minute if need be, and what must be fast is measured elsewhere (benchmarks/).
"""

import json
import shutil
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import huashen
import toy_live
from huashen.server.house import House, Limits, ears, seen_faces
from toy_live import served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="wants playwright: pip install playwright")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="wants a browser: apt install chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required", "--use-fake-ui-for-media-stream",
         "--use-fake-device-for-media-stream"]  # fmt: skip
MINUTE = 60_000
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
    """Serve the example portrait with its real engines."""
    docs = tmp_path_factory.mktemp("docs")
    (docs / "shop.md").write_text(DOCS)
    chat = huashen.load("chat", "faq", documents=docs)
    house = House(seen_faces(["example"]), {"size": "192"}, {"faq": chat}, ears("pocketsphinx"), Limits(sessions=2), Path())
    with served(house) as place:
        yield place + "/"


@pytest.fixture(scope="module")
def toys() -> Iterator[str]:
    """Serve a red and a blue picture that flash while tones sound: cheap, and enough for what the page itself does."""
    with pytest.MonkeyPatch.context() as patch:
        toy_live.install(patch)
        with served(toy_live.house(limits={"sessions": 2})) as place:
            yield place + "/"


@pytest.fixture(scope="module")
def browser(microphone: Path) -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={microphone}%noloop"]
        found = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield found
        found.close()


def opened(
    browser: Any, address: str, *, query: str = "", size: tuple[int, int] = (1280, 800), lang: str = "en-US", before: str = "",
    sockets: list[Any] | None = None, **more: Any,
) -> tuple[Any, list[str]]:  # fmt: skip
    """Open the page; return it and the errors it reports. Its WebSockets are put into `sockets`, through which they then go."""
    options = {"permissions": ["microphone"], **more}
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, locale=lang, bypass_csp=True, **options)
    context.set_default_timeout(MINUTE)
    if before:
        context.add_init_script(before)
    if sockets is not None:
        context.route_web_socket("**/stream*", lambda one: (one.connect_to_server(), sockets.append(one)))
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address + query)
    page.wait_for_selector("#curtain[data-state=idle] #start:enabled")
    return page, errors


def start(page: Any) -> None:
    """Begin a conversation."""
    page.click("#start")
    page.wait_for_selector("#curtain", state="hidden")


def say(page: Any, text: str) -> None:
    if page.locator("input[value=say]").is_visible():
        page.check("input[value=say]")
    page.fill("#text", text)
    page.press("#text", "Enter")


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


def heard(page: Any) -> float:
    """Return the energy of the sound that WebRTC has brought so far."""
    energy: float = page.evaluate("""async () => { for (const r of (await huashen.line.stats()).values())
        if (r.type === "inbound-rtp" && r.kind === "audio") return r.totalAudioEnergy; return 0; }""")
    return energy


def until(page: Any, condition: str) -> None:
    page.wait_for_function(condition, timeout=MINUTE)


# ---------------------------------------------------------------- with the real engines


@pytest.mark.parametrize("transport", ["webrtc", "websocket"])
def test_the_person_is_seen_moves_and_is_interrupted(browser: Any, address: str, transport: str) -> None:
    page, errors = opened(browser, address, query=f"?transport={transport}")
    start(page)
    assert page.evaluate("huashen.line.kind") == transport
    for _ in range(120):  # the first frames may still be grey
        first = picture(page)
        if first.std() > 25:
            break
        page.wait_for_timeout(500)
    assert first.std() > 25, "a face, not a plain colour"
    say(page, "One two three four five six seven eight nine ten eleven twelve. " * 4 + "Fifteen.")
    until(page, "document.body.dataset.mood === 'speaking' && document.querySelector('#caption').textContent")
    moved = 0.0
    for _ in range(120):
        moved = max(moved, float(np.abs(picture(page) - first).max()))
        if moved > 12:
            break
        page.wait_for_timeout(100)
    assert moved > 12, "the mouth moves"
    if transport == "webrtc":  # a blink moves the picture too: interrupted is what has been heard
        for _ in range(600):
            if heard(page) > 1e-4:
                break
            page.wait_for_timeout(100)
        assert heard(page) > 1e-4, "sound was heard"
    page.click("#hush")
    until(page, "document.body.dataset.mood === 'idle'")
    assert "Fifteen" in page.wait_for_selector("#log .rest:last-child").inner_text()
    assert page.inner_text("#log .avatar").startswith("One")
    assert page.is_visible("#send")
    if transport == "websocket":
        assert page.evaluate("huashen.shownAt.length") > 0, "pictures are shown by the clock of their sound"
    assert errors == []
    page.context.close()


def test_a_spoken_question_is_heard_and_answered(browser: Any, address: str) -> None:
    page, errors = opened(browser, address)
    start(page)
    page.click("#microphone")
    page.wait_for_selector("#listening", state="visible")
    page.wait_for_selector("#log .person:not(.partial)")
    # which words PocketSphinx makes of it is its own affair; that there are some, and that they are answered, is ours
    assert page.inner_text("#log .person")
    until(page, "(document.querySelector('#log .avatar:not(.waiting)')?.textContent || '').length > 20")
    until(page, "huashen.times.total > 0")
    until(page, "document.querySelector('#timings').textContent.includes('first frame')")
    row = page.inner_text("#timings")
    for step in ("heard", "text", "answer", "first sound", "first frame", "in all"):
        assert step in row
    assert errors == []
    page.context.close()


BLOCKED = r"""
    // what a firewall does: every candidate is lost on the way
    const set = RTCPeerConnection.prototype.setRemoteDescription;
    RTCPeerConnection.prototype.setRemoteDescription = function (d) {
        return set.call(this, { type: d.type, sdp: d.sdp.replace(/^a=candidate:.*\r\n/gm, "") });
    };
    const local = Object.getOwnPropertyDescriptor(RTCPeerConnection.prototype, "localDescription").get;
    Object.defineProperty(RTCPeerConnection.prototype, "localDescription", { get() {
        const d = local.call(this);
        return d && { type: d.type, sdp: d.sdp.replace(/^a=candidate:.*\r\n/gm, "") };
    } });
"""


def test_where_udp_is_blocked_the_page_takes_the_websocket_by_itself(browser: Any, toys: str) -> None:
    page, errors = opened(browser, toys, before=BLOCKED)
    start(page)
    assert page.evaluate("huashen.line.kind") == "websocket"
    assert page.evaluate("huashen.patience") < 2500, "with what asking costs, three seconds"
    say(page, "one two")
    until(page, "document.querySelector('#log .avatar')")
    assert errors == []
    page.context.close()


# ---------------------------------------------------------------- what the page itself does


def test_who_types_before_a_conversation_begins_begins_it(browser: Any, toys: str) -> None:
    page, errors = opened(browser, toys)
    assert not page.locator(".mode").is_visible(), "nobody answers here, so there is nothing to choose"
    say(page, "one two three")
    until(page, "document.querySelector('#log .avatar')?.textContent === 'one two three'")
    page.click("#end")
    page.wait_for_selector("#curtain[data-state=over]")
    assert page.inner_text("#start") == "Start again"
    assert page.inner_text("#state") == "Not connected"
    page.click("#start")
    page.wait_for_selector("#curtain", state="hidden")
    assert page.inner_text("#log .avatar") == "one two three", "what was said stays to be read"
    assert errors == []
    page.context.close()


def test_stage_directions_are_done_not_shown_and_answers_are_no_html(browser: Any, toys: str) -> None:
    page, errors = opened(browser, toys)
    start(page)
    say(page, "[smile] Hello [nod] there. <img src=x> [sic] 😀")
    until(page, "(document.querySelector('#log .avatar')?.textContent || '').includes('😀')")
    assert page.inner_text("#log .avatar") == "Hello there. <img src=x> [sic] 😀"
    assert page.locator("#log img").count() == 0
    written = "## Steps\nRun `make`, **then** *rest*.\n\n- one\n1. two\n\n```sh\nmake <all>\n```\nDone."
    page.evaluate("(text) => huashen.hear({ type: 'answer', id: 99, text, sources: ['a.md: B'] })", written)
    answer = page.locator("#log .avatar").last
    assert answer.locator("pre code").inner_text() == "make <all>"
    assert answer.locator("b.title").inner_text() == "Steps"
    assert answer.locator("p code").inner_text() == "make"
    assert answer.locator(".item").all_inner_texts() == ["• one", "1. two"]
    assert answer.locator("small").inner_text() == "From a.md: B"
    page.evaluate("huashen.hear({ type: 'hushed', id: 99, heard: 'Steps Run make, then rest.' })")
    assert answer.locator("s").all_inner_texts() == ["one", "1. ", "two", "Done."], "heard is what letters say; code is never spoken"
    assert errors == []
    page.context.close()


def test_a_long_sentence_is_captioned_in_pieces(browser: Any, toys: str) -> None:
    page, errors = opened(browser, toys, size=(390, 844))
    start(page)
    for text in ("".join(f"and {k} of the same " for k in range(12)), "".join(f"第{k}句话没有尽头，" for k in range(12))):
        shown = page.evaluate("""(sentence) => Array.from({ length: sentence.length + 1 }, (_, end) => {
            huashen.hear({ type: "word", sentence, end });
            return document.querySelector("#caption").textContent;
        })""", text)  # fmt: skip
        pieces = list(dict.fromkeys(shown))
        assert len(pieces) > 2
        assert max(len(piece) for piece in pieces) <= 65
        assert "".join("".join(pieces).split()) == "".join(text.split()), "every word was shown once, in order"
    assert errors == []
    page.context.close()


def test_all_seats_taken_is_told_and_waited_for(browser: Any, toys: str) -> None:
    page, errors = opened(browser, toys)
    taken = [True]
    full = {"status": 429, "headers": {"Retry-After": "1"}, "content_type": "application/json", "body": '{"error": "full"}'}
    page.route("**/v1/sessions", lambda route: route.fulfill(**full) if taken[0] else route.continue_())
    page.click("#start")
    page.wait_for_selector("#curtain[data-state=full]")
    assert "All seats are taken" in page.inner_text("#notice")
    page.click("#cancel")
    page.wait_for_selector("#curtain[data-state=idle]")
    page.click("#start")
    page.wait_for_selector("#curtain[data-state=full]")
    taken[0] = False
    page.wait_for_selector("#curtain", state="hidden")
    assert errors == []
    page.context.close()


def test_a_token_is_asked_for_a_wrong_one_refused(browser: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        toy_live.install(patch)
        with served(toy_live.house(), host="0.0.0.0", token="open sesame") as place:
            context = browser.new_context(locale="en-US", bypass_csp=True)
            context.set_default_timeout(MINUTE)
            page = context.new_page()
            page.goto(place + "/")
            page.wait_for_selector("#curtain[data-state=locked]")
            assert "wants its token" in page.inner_text("#notice")
            page.fill("#token", "wrong")
            page.press("#token", "Enter")
            until(page, "document.querySelector('#notice').textContent.includes('not right')")
            page.fill("#token", "open sesame")
            page.press("#token", "Enter")
            page.wait_for_selector("#curtain[data-state=idle]")
            page.goto(place + "/#token=open sesame")  # of a page that is open only the end changes: it loads itself again
            page.wait_for_url(lambda address: "sesame" not in address)  # an address is easily passed on
            page.wait_for_selector("#curtain[data-state=idle]")
            context.close()


def test_a_server_that_is_gone_is_told_and_comes_back(browser: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        toy_live.install(patch)
        with served(toy_live.house()) as place:
            page, errors = opened(browser, place + "/", query="?transport=websocket")
            start(page)
            page.route("**/v1/**", lambda route: route.abort())
            page.evaluate("huashen.hear({ type: 'closed' })")
            page.wait_for_selector("#curtain[data-state=over]")
            page.click("#start")
            page.wait_for_selector("#curtain[data-state=failed]")
            assert "cannot be reached" in page.inner_text("#notice")
            assert page.inner_text("#start") == "Try again"
            page.unroute("**/v1/**")
            page.click("#start")
            page.wait_for_selector("#curtain", state="hidden")
        # the server has ended, in order: it told so
        page.wait_for_selector("#curtain[data-state=over], #curtain[data-state=failed]")
        assert errors == []
        page.context.close()


def test_a_refused_microphone_is_explained_and_typing_goes_on(browser: Any, address: str) -> None:
    denied = "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));"
    page, errors = opened(browser, address, before=denied)
    page.click("#microphone")
    until(page, "document.querySelector('#toast').textContent.includes('permission was denied')")
    assert page.get_attribute("#microphone", "aria-pressed") == "false"
    assert page.is_enabled("#text")
    assert errors == []
    page.context.close()


def test_nothing_typed_is_lost_when_it_is_refused(browser: Any, toys: str) -> None:
    page, errors = opened(browser, toys)
    start(page)
    page.route("**/say", lambda route: route.fulfill(status=429, content_type="application/json", body='{"error": "too much waits"}'))
    say(page, "keep these words")
    until(page, "document.querySelector('#toast').textContent === 'too much waits'")
    assert page.input_value("#text") == "keep these words"
    page.fill("#text", "x" * 2010)
    assert page.is_disabled("#send")
    assert page.inner_text("#count") == "10 characters too many"
    assert errors == []
    page.context.close()


def test_a_dropped_picture_is_used_once_its_consent_is_ticked(browser: Any, toys: str) -> None:
    page, errors = opened(browser, toys)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "/v1/faces?" in request.url else None)
    page.evaluate("""() => {
        const dragged = new DataTransfer();
        dragged.items.add(new File(["faceless"], "cat.png", { type: "image/png" }));
        for (const kind of ["dragenter", "dragover", "drop"]) document.body.dispatchEvent(
            new DragEvent(kind, { dataTransfer: dragged, bubbles: true, cancelable: true }));
    }""")
    page.wait_for_selector("#bring[open]")
    assert page.inner_text("#bring-name") == "cat.png"
    assert page.is_disabled("#bring-go")
    assert sent == []
    page.check("#agreed")
    page.click("#bring-go")
    page.wait_for_selector("#bring-error", state="visible")
    assert "no face" in page.inner_text("#bring-error")
    assert "/tmp" not in page.inner_text("#bring-error")
    page.set_input_files("#file", {"name": "me.png", "mimeType": "image/png", "buffer": b"a picture"})
    until(page, "document.querySelector('#bring-name').textContent === 'me.png'")
    assert not page.is_checked("#agreed"), "asked anew for every picture"
    page.check("#agreed")
    page.click("#bring-go")
    page.wait_for_selector("#bring", state="hidden")
    assert page.inner_text("#who") == "Your picture"
    with page.expect_request("**/v1/sessions") as asked:
        page.click("#start")
    assert json.loads(asked.value.post_data)["face"].startswith("u")
    page.wait_for_selector("#curtain", state="hidden")
    assert errors == []
    page.context.close()


def test_choices_are_used_and_kept(browser: Any, toys: str) -> None:
    page, errors = opened(browser, toys)
    page.click("#settings-open")
    page.check("#faces input[value=f1]")
    page.check("#backgrounds input[value=white]")
    page.select_option("#tts", "tones")
    page.select_option("#voice", "low")
    assert page.inner_text("#tts-about") == "toy"
    page.click("#apply")
    page.wait_for_function("document.querySelector('#who').textContent === 'blue'")  # the dialog tells of it after it is shut
    page.reload()
    page.wait_for_selector("#curtain[data-state=idle]")
    with page.expect_request("**/v1/sessions") as asked:
        page.click("#start")
    assert json.loads(asked.value.post_data) == {"face": "f1", "background": "white", "tts": "tones", "voice": "low", "lang": "en"}
    assert errors == []
    page.context.close()


def test_the_mouth_may_move_like_that_of_another_face(browser: Any, toys: str, address: str) -> None:
    page, errors = opened(browser, toys)
    page.click("#settings-open")
    assert page.locator("#style option").all_inner_texts() == ["This face's own", "blue"]
    page.select_option("#style", "f1")
    page.click("#apply")
    page.wait_for_function("JSON.parse(localStorage.getItem('wanted') || '{}').style === 'f1'")
    with page.expect_request("**/v1/sessions") as asked:
        page.click("#start")
    assert json.loads(asked.value.post_data) == {"style": "f1", "lang": "en"}
    page.wait_for_function("document.querySelector('#notice').innerText.includes('tells no style')")  # a toy has none after all
    assert errors == []
    page.context.close()
    page, _ = opened(browser, address)
    page.click("#settings-open")
    assert not page.locator("#style").is_visible()  # a portrait tells none
    page.context.close()


def test_the_keyboard_reaches_everything_and_everything_has_a_name(browser: Any, toys: str) -> None:
    page, errors = opened(browser, toys)
    start(page)
    nameless = page.evaluate("""() => [...document.querySelectorAll("button, input:not([hidden]), select, textarea, video, canvas")]
        .filter((e) => !(e.ariaLabel || e.textContent.trim() || e.labels?.[0]?.textContent.trim()))
        .map((e) => e.outerHTML.slice(0, 90))""")
    assert nameless == []
    reached = set()
    page.focus("#language")
    for _ in range(14):
        reached.add(page.evaluate("document.activeElement.id"))
        page.keyboard.press("Tab")
    assert {"settings-open", "mute", "end", "log", "text", "send"} <= reached
    say(page, "one two three four five six seven eight nine ten " * 4)
    until(page, "document.body.dataset.mood === 'speaking'")
    page.keyboard.press("Escape")
    until(page, "document.body.dataset.mood === 'idle'")
    assert page.locator("#log .rest").count() > 0
    page.click("#settings-open")
    page.keyboard.press("Escape")
    page.wait_for_selector("#settings", state="hidden")
    assert errors == []
    page.context.close()


CONTRAST = """() => {
    const linear = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const canvas = document.createElement("canvas"); canvas.width = canvas.height = 1;
    const ink = canvas.getContext("2d", { willReadFrequently: true });
    const colour = (layers) => { // one over the other
        ink.clearRect(0, 0, 1, 1);
        for (const one of layers) { ink.fillStyle = one; ink.fillRect(0, 0, 1, 1); }
        return [...ink.getImageData(0, 0, 1, 1).data];
    };
    const poor = [];
    for (const e of document.querySelectorAll("header *, #talk *")) {
        if (!e.checkVisibility() || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
        const layers = [];
        for (let up = e; up; up = up.parentElement) {
            const style = getComputedStyle(up);
            if (style.backgroundImage !== "none" && up !== document.body) { layers.length = 0; layers.push(null); break; }
            layers.unshift(style.backgroundColor);
        }
        if (layers[0] === null) continue; // on a gradient
        layers.unshift(getComputedStyle(document.documentElement).getPropertyValue("--ground"));
        const style = getComputedStyle(e), [a, b] = [light(colour(layers)), light(colour([...layers, style.color]))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) poor.push([e.textContent.slice(0, 40), ratio.toFixed(2)]);
    }
    return poor;
}"""


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_every_text_is_easily_read(browser: Any, toys: str, scheme: str) -> None:
    page, _ = opened(browser, toys, color_scheme=scheme)
    page.evaluate("""() => { huashen.hear({ type: "heard", text: "A question", final: true });
        huashen.hear({ type: "answer", id: 9, text: "An answer with `code`", sources: ["a: b"] });
        huashen.hear({ type: "hushed", id: 9, heard: "An" }); }""")
    page.wait_for_timeout(300)  # colours fade in
    assert page.evaluate(CONTRAST) == []
    page.context.close()


def test_on_a_phone_in_chinese_nothing_overflows_and_nothing_is_english(browser: Any, toys: str) -> None:
    page, errors = opened(browser, toys, size=(390, 844), lang="zh-CN", is_mobile=True, has_touch=True)
    start(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth && document.documentElement.scrollHeight <= innerHeight + 1")
    for wanted in ("#text", "#send", "#settings-open", "#language", "#state", "#mute", "#end", "#portrait"):
        box = page.locator(wanted).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 391, wanted
        assert box["y"] + box["height"] <= 845, wanted
    page.click("#settings-open")
    shown = page.inner_text("body")
    for english in ("Ask", "Settings", "Voice", "Background", "Automatic", "Example", "Start", "Live", "Face", "Cancel", "needs"):
        assert english not in shown.replace("English", ""), english
    assert errors == []
    page.context.close()


def test_the_server_speaks_the_pages_language(browser: Any, toys: str) -> None:
    page, _ = opened(browser, toys, lang="zh-CN")
    told = page.evaluate("fetch('v1/faces/none/picture', { headers: { 'Accept-Language': 'zh' } }).then((r) => r.json())")
    assert "没有形象" in told["error"]
    told = page.evaluate("fetch('v1/faces/none/picture', { headers: { 'Accept-Language': 'en' } }).then((r) => r.json())")
    assert "there is no face" in told["error"]
    page.context.close()


HASTY = "const wait = setTimeout; window.setTimeout = (f, ms, ...a) => wait(f, Math.min(ms || 0, 100), ...a);"


def test_a_vanished_server_is_not_waited_for_forever(browser: Any) -> None:
    """A connection that ends without a word, and nobody behind the address any more."""
    with pytest.MonkeyPatch.context() as patch:
        toy_live.install(patch)
        with served(toy_live.house()) as place:
            sockets: list[Any] = []
            page, errors = opened(browser, place + "/", query="?transport=websocket", before=HASTY, sockets=sockets)
            start(page)
            page.route("**/v1/**", lambda route: route.abort())
            page.evaluate("() => { window.WebSocket = class { constructor() { setTimeout(() => this.onerror()); } }; }")
            sockets.pop().close()
            page.wait_for_selector("#curtain[data-state=failed]")
            assert "connection to the server is lost" in page.inner_text("#notice")
            assert errors == []
            page.context.close()
