// The page: what the person sees and does. The way of the media is in rtc.js and socket.js, what may be chosen in choices.js, what was said in log.js.
import { choices } from "./choices.js";
import { cut, dots, entry, follow, note, welcome, write } from "./log.js";
import { overRTC } from "./rtc.js";
import { overSocket } from "./socket.js";
import { choose, language, words } from "./words.js";

const $ = (id) => document.getElementById(id);
let token = new URLSearchParams(location.hash.slice(1)).get("token") || sessionStorage.getItem("token") || "";
if (token) sessionStorage.setItem("token", token);
if (location.hash) history.replaceState(null, "", location.pathname + location.search);
addEventListener("hashchange", () => location.reload()); // an address with a token was pasted
const forced = new URLSearchParams(location.search).get("transport"); // for looking at one of them: ?transport=websocket
const PATIENCE = 2300; // milliseconds that WebRTC has to find its way; where UDP is blocked it never does

let session = null, line = null, context = null, output = null, microphone = null, wish = 0;

// ---------------------------------------------------------------- asking the server

async function call(method, path, body) {
  const headers = { "Accept-Language": language(), ...(token && { Authorization: `Bearer ${token}` }) };
  const form = body instanceof Blob;
  if (body && !form) headers["Content-Type"] = "application/json";
  let reply;
  try {
    reply = await fetch(path, { method, headers, body: body && (form ? body : JSON.stringify(body)) });
  } catch { throw Object.assign(new Error(words("unreachable")), { status: 0 }); }
  if (reply.ok) return reply;
  const told = await reply.json().catch(() => ({}));
  const after = Number(reply.headers.get("Retry-After")) || 0;
  throw Object.assign(new Error(reply.status === 401 ? words("token") : told.error || `${reply.status} ${reply.statusText}`), { status: reply.status, after });
}
async function ask(method, path, body) {
  const reply = await call(method, path, body);
  return reply.status === 204 ? null : reply.json();
}
const picture = async (face) => URL.createObjectURL(await (await call("GET", `v1/faces/${encodeURIComponent(face)}/picture`)).blob());

const chosen = choices({ server: { json: ask, picture }, told: toast, changed: () => { modes(); frame(); if (session) { end(); note(words("new_one")); begin(); } else welcome(chosen.canAsk(), offered); } });

async function visit() { // what is there to talk with
  curtain("busy", "connecting");
  show("wait", "connecting");
  try {
    await chosen.take(await ask("GET", "v1/house"));
  } catch (error) { return refused(error); }
  $("microphone").hidden = !chosen.house.asr;
  chosen.show();
  modes();
  frame();
  welcome(chosen.canAsk(), offered);
  speak();
  curtain("idle");
  show("idle", "disconnected");
}

// ---------------------------------------------------------------- beginning and ending

// What stands before the picture as long as nobody talks: idle, busy, full (waiting for a seat), failed, locked (a token is wanted), over.
function curtain(state, key, ...parts) {
  Object.assign($("curtain").dataset, { state, key: key || "", parts: JSON.stringify(parts) });
  const waiting = state === "busy" || state === "full";
  $("curtain").hidden = false;
  $("notice").hidden = !key;
  $("notice").textContent = key ? words(key, ...parts) : "";
  $("start").hidden = waiting || state === "locked";
  $("start").disabled = $("start").hidden;
  $("start").textContent = words(state === "failed" ? "retry" : state === "over" ? "again" : "start");
  $("cancel").hidden = !waiting || !chosen.house;
  $("door").hidden = state !== "locked";
  $("start-hint").hidden = state !== "idle";
}

async function begin() {
  if (!chosen.house) return visit();
  const mine = ++wish;
  curtain("busy", "preparing");
  show("wait", "preparing");
  context ||= new AudioContext({ latencyHint: "interactive" });
  context.resume();
  if (!output) { output = context.createGain(); output.connect(context.destination); }
  try {
    const made = await ask("POST", "v1/sessions", chosen.wish());
    if (mine !== wish) return void ask("DELETE", `v1/sessions/${made.id}`).catch(() => {});
    session = { ...made, post: (what, body) => ask("POST", `v1/sessions/${made.id}/${what}`, body) };
    curtain("busy", "connecting");
    show("wait", "connecting");
    await connect(mine);
    return mine === wish;
  } catch (error) {
    if (mine !== wish) return;
    if (error.status === 429) return wait(error.after || 5, mine);
    end();
    refused(error);
  }
}

function wait(seconds, mine) { // all seats are taken: the queue is the page's own
  if (mine !== wish) return;
  if (seconds <= 0) return begin();
  curtain("full", "full", seconds);
  show("wait", "queued");
  setTimeout(() => wait(seconds - 1, mine), 1000);
}

function refused(error) {
  if (error.status === 401) {
    const again = Boolean(token);
    sessionStorage.removeItem("token");
    token = "";
    curtain("locked", again ? "token_wrong" : "token");
    return show("bad", "locked");
  }
  curtain("failed", error.status === 0 ? "unreachable" : "failed", error.message);
  show("bad", error.status === 0 ? "offline" : "disconnected");
}

async function connect(mine) {
  const shared = { onEvent: (event) => { if (mine === wish) hear(event); }, onLost: () => lost(mine), microphone };
  line = null;
  let made = null;
  if (forced !== "websocket" && globalThis.RTCPeerConnection && session.webrtc) {
    try {
      made = await overRTC(session, { ...shared, video: $("video"), patience: forced === "webrtc" ? 60_000 : PATIENCE });
    } catch (error) { console.info("WebRTC:", error.message); }
  }
  if (mine !== wish) return made?.close();
  if (!made && forced !== "webrtc") made = await overSocket(session, { ...shared, canvas: $("canvas"), context, output, onShown: shown });
  if (!made) throw new Error("WebRTC");
  if (mine !== wish) return made.close();
  line = made;
  const rtc = line.kind === "webrtc";
  $("video").hidden = !rtc; $("canvas").hidden = rtc; $("poster").style.visibility = "hidden"; $("curtain").hidden = true;
  $("controls").hidden = false;
  $("unmute").hidden = !(rtc ? $("video").paused : context.state !== "running");
  document.body.dataset.transport = line.kind;
  quieten();
  show("good", `over_${line.kind}`);
  timings();
  if (microphone) line.send({ type: "microphone", on: true });
  if (matchMedia("(pointer: fine)").matches && !document.querySelector("dialog[open]")) $("text").focus({ preventScroll: true }); // on a phone the keyboard would jump up
}

async function lost(mine) {
  if (mine !== wish) return;
  show("wait", "reconnecting");
  mood("idle");
  await new Promise((r) => setTimeout(r, 300)); // a server that throws out at once is not asked in a circle
  for (let k = 0; k < 6 && mine === wish; k++) {
    try { return await connect(mine); } catch { await new Promise((r) => setTimeout(r, 500 * 2 ** k)); }
    try { await ask("GET", `v1/sessions/${session.id}`); } catch (error) { if (error.status === 404) break; }
  }
  if (mine === wish) { end(); curtain("failed", "gone"); show("bad", "disconnected"); }
}

function end() {
  wish++;
  line?.close(); line = null;
  if (session) ask("DELETE", `v1/sessions/${session.id}`).catch(() => {});
  session = null;
  $("poster").style.visibility = ""; $("video").hidden = $("canvas").hidden = $("controls").hidden = $("unmute").hidden = true;
  delete document.body.dataset.transport;
  partial?.remove(); partial = null;
  spoken.forEach(({ item }) => item.querySelector(".dots")?.remove());
  spoken.clear();
  mood("idle");
  caption(null);
  stop();
}
function finish(key = "ended") { end(); curtain("over", key); show("idle", "disconnected"); }
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); }); // brought back by "back": its session is long gone
addEventListener("pagehide", () => { if (session) fetch(`v1/sessions/${session.id}`, { method: "DELETE", keepalive: true, headers: token ? { Authorization: `Bearer ${token}` } : {} }); });

// ---------------------------------------------------------------- what is said

const spoken = new Map(); // id of an answer -> {item, text}
let partial = null, times = {}, feeling = "idle";

function mood(value) {
  feeling = document.body.dataset.mood = value;
  buttons();
  document.querySelector("#log .waiting")?.remove();
  if (value === "thinking") entry("avatar waiting").querySelector(".prose").append(dots());
  follow();
}
function buttons() { // while the person talks and nothing is typed, the place of "send" is that of "interrupt"
  const busy = feeling === "speaking" || feeling === "thinking", typed = $("text").value.trim();
  const focused = document.activeElement;
  $("hush").hidden = !busy || Boolean(typed);
  $("send").hidden = busy && !typed;
  if (focused === $("hush") && $("hush").hidden || focused === $("send") && $("send").hidden) $("text").focus({ preventScroll: true });
}

function hear(event) {
  const kind = event.type;
  if (kind === "state") {
    mood(event.value);
    if (line) show("good", feeling === "idle" ? `over_${line.kind}` : feeling);
  } else if (kind === "heard") {
    partial ||= entry("person partial");
    partial.querySelector(".prose").textContent = event.text;
    if (event.final) { partial.classList.remove("partial"); if (!event.text) partial.remove(); partial = null; }
    follow();
  } else if (kind === "answer") {
    document.querySelector("#log .waiting")?.remove();
    if (!spoken.has(event.id)) spoken.set(event.id, { item: entry("avatar"), text: "" });
    const answer = spoken.get(event.id);
    answer.text += event.text;
    write(answer.item, answer.text.trim());
    if (event.sources?.length) { const small = document.createElement("small"); small.textContent = words("source", event.sources.join(" · ")); answer.item.append(small); }
    follow();
  } else if (kind === "sentence") caption(event.text, 0);
  else if (kind === "word") caption(event.sentence, event.end);
  else if (kind === "hushed" || kind === "ended") {
    const answer = spoken.get(event.id);
    if (kind === "hushed") { line?.silence?.(); if (answer) cut(answer.item, event.heard || ""); }
    if (answer && !answer.text.trim()) answer.item.remove();
    caption(null);
    spoken.delete(event.id);
  } else if (kind === "timings") { times = { ...times, ...event }; timings(); }
  else if (kind === "pong") { times.trip = Math.round(performance.now() - event.at); timings(); }
  else if (kind === "error") toast(words("failed", event.text));
  else if (kind === "closed") finish();
}

let fading = 0;
function caption(text, done = 0) {
  const place = $("caption");
  clearTimeout(fading);
  if (!text || !$("captions").checked) { fading = setTimeout(() => place.classList.remove("on"), text === null ? 600 : 0); return; }
  const all = document.createElement("span"), coming = document.createElement("span"), [from, to] = stretch(text, done);
  coming.className = "coming";
  coming.textContent = text.slice(Math.max(done, from), to);
  all.append(text.slice(from, Math.max(done, from)), coming);
  place.replaceChildren(all);
  place.classList.add("on");
}

function stretch(text, done) { // a long sentence is shown in pieces, each whole words: from where to where the one goes that is being said
  const most = $("portrait").clientWidth < 600 ? 64 : 110, wide = (c) => (c > "\u2e80" ? 2 : 1);
  let from = 0, width = 0, gap = 0;
  for (let at = 0; at < text.length; at++) {
    width += wide(text[at]);
    if (/[\s，。、；：,;]/.test(text[at]) || text[at] > "\u2e80") gap = at + 1;
    if (width <= most) continue;
    const next = gap > from ? gap : at;
    if (done <= next) return [from, next];
    width = [...text.slice(next, at + 1)].reduce((sum, c) => sum + wide(c), 0);
    from = next;
  }
  return [from, text.length];
}

async function offered(text) { await say("say", text); }
async function say(mode, text) { // Return whether it was taken. Who types before a conversation begins, begins it.
  if (!session && !await begin()) return false;
  if (!line) return false;
  const mine = mode === "ask" ? entry("person", text) : null;
  try { await session.post(mode, { text }); return true; } catch (error) {
    mine?.remove();
    if (error.status !== 404) toast(error.message);
    return false;
  }
}
async function send(event) {
  event?.preventDefault();
  const text = $("text").value.trim();
  if (!text || excess() > 0 || !chosen.house) return;
  if (session && !line) return; // just now connecting
  $("text").value = "";
  typed();
  if (!await say(new FormData($("composer")).get("mode"), text) && !$("text").value) { $("text").value = text; typed(); } // nothing typed is lost
}
const hush = () => session?.post("hush").catch(() => {});

// ---------------------------------------------------------------- the microphone

async function listen() {
  if (microphone) return stop();
  if (!navigator.mediaDevices) return unheard("microphone_insecure");
  let track;
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 } });
    [track] = stream.getAudioTracks();
  } catch (error) { return unheard({ NotAllowedError: "microphone_denied", NotFoundError: "microphone_none", NotReadableError: "microphone_taken" }[error.name], error.message); }
  if (!line && !await begin()) return track.stop();
  microphone = track;
  $("microphone").ariaPressed = "true";
  $("listening").hidden = false;
  microphone.onended = stop;
  meter(microphone);
  await line?.setMicrophone(microphone);
  line?.send({ type: "microphone", on: true });
}
function unheard(key, message) { const why = key ? words(key) : message; toast(words("no_microphone", why)); note(words("no_microphone", why)); }

function stop() {
  if (!microphone) return;
  microphone.stop(); microphone = null;
  $("microphone").ariaPressed = "false";
  $("listening").hidden = true;
  line?.setMicrophone(null);
  line?.send({ type: "microphone", on: false });
}

function meter(track) {
  const analyser = context.createAnalyser(), levels = new Uint8Array(32), bars = $("listening").querySelectorAll("i");
  analyser.fftSize = 64; analyser.smoothingTimeConstant = 0.6;
  const tap = context.createMediaStreamSource(new MediaStream([track]));
  tap.connect(analyser);
  const draw = () => {
    if (microphone !== track) return tap.disconnect();
    analyser.getByteFrequencyData(levels);
    bars.forEach((bar, i) => { bar.style.height = `${20 + levels[1 + i * 3] / 255 * 80}%`; });
    requestAnimationFrame(draw);
  };
  draw();
}

// ---------------------------------------------------------------- numbers on screen

const long = (ms) => (ms < 1000 ? words("ms", Math.round(ms)) : words("s", (ms / 1000).toFixed(2)));
function timings() {
  $("timings").hidden = !$("show-timings").checked || !session;
  if ($("timings").hidden) return;
  const row = (name, value, kind) => {
    const place = document.createElement("div"), term = document.createElement("dt"), number = document.createElement("dd");
    place.className = kind; term.textContent = words(name); number.textContent = value;
    place.append(term, number);
    return place;
  };
  const known = (value) => value !== undefined && value !== null;
  const steps = [["heard_text", times.text], ["text_answer", times.answer], ["answer_sound", times.sound], ["sound_frame", times.frame]].filter(([, value]) => known(value));
  const rows = steps.map(([name, value]) => row(name, long(value), "step"));
  if (rows.length && known(times.text)) rows.unshift(row("heard", "", "step"));
  if (known(times.total)) rows.push(row("total", long(times.total), "apart total"));
  if (known(times.trip)) rows.push(row("trip", long(times.trip), "apart"));
  if (known(times.late)) rows.push(row("late", times.late, "apart"));
  if (line) rows.push(row("", words(line.kind), "apart"));
  if (!steps.length) rows.unshift(row("no_timings", "", "first"));
  $("timings").replaceChildren(...rows);
}
const shownAt = [];
function shown(at, clock) { if (Number.isFinite(clock)) { shownAt.push(at - clock); if (shownAt.length > 250) shownAt.shift(); } }
globalThis.huashen = { get session() { return session; }, get line() { return line; }, get times() { return times; }, shownAt, hear, patience: PATIENCE }; // for tests and the curious

// ---------------------------------------------------------------- words and small things

function show(kind, key, ...parts) {
  Object.assign($("state").dataset, { kind, key });
  $("state").lastElementChild.textContent = words(key, ...parts);
  $("state").title = line ? words(line.kind) : "";
}

let toasting = 0;
function toast(text) {
  $("toast").textContent = text;
  if ($("toast").showPopover && !$("toast").matches(":popover-open")) $("toast").showPopover(); // above dialogs too
  clearTimeout(toasting); toasting = setTimeout(() => { $("toast").hidePopover?.(); $("toast").textContent = ""; }, 9000);
}

function modes() { // with nobody to answer there is only one thing to do
  const can = chosen.canAsk();
  document.querySelector(".mode").hidden = !can;
  document.querySelector(`.mode input[value=${can ? "ask" : "say"}]`).checked = true;
  hints();
}
function hints() {
  const mode = new FormData($("composer")).get("mode");
  $("text").placeholder = words(`${mode}_placeholder`); $("text").ariaLabel = words(`${mode}_placeholder`);
}
const excess = () => $("text").value.trim().length - (chosen.house?.text || 2000);
function typed() {
  $("text").style.height = "auto"; $("text").style.height = `${$("text").scrollHeight + 2}px`;
  const over = excess();
  $("count").textContent = over > 0 ? words("count", over) : over > -200 ? words("left", -over) : "";
  $("count").style.color = over > 0 ? "var(--bad)" : "";
  $("send").disabled = over > 0;
  buttons();
}
function frame() { // the picture fills its place where little of it is lost by that; the head stays in sight
  const face = chosen.face();
  if (!face?.size) return;
  const [width, height] = face.size, { clientWidth, clientHeight } = $("portrait"), ratio = (clientWidth / clientHeight) / (width / height);
  const [x0, y0, x1, y1] = face.head || [0.4, 0.2, 0.6, 0.5];
  const most = Math.min(1.5, 1 / Math.max(ratio < 1 ? x1 - x0 : y1 - y0, 0.1) / 1.3); // never so much that the head would touch the edge
  const fits = Math.max(ratio, 1 / ratio) <= most;
  $("portrait").classList.toggle("filled", fits);
  if (!fits) return;
  const part = ratio < 1 ? ratio : 1 / ratio; // of the picture's width or height that is seen
  const middle = ratio < 1 ? (x0 + x1) / 2 - part / 2 : (y0 + y1) / 2 - part * 0.42;
  const place = part < 0.999 ? Math.min(Math.max(middle / (1 - part), 0), 1) * 100 : 50;
  $("portrait").style.setProperty("--focus", ratio < 1 ? `${place}% 50%` : `50% ${place}%`);
}

function speak() { // puts the chosen language everywhere
  document.documentElement.lang = language() === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = words(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.ariaLabel = element.title = words(element.dataset.label);
  for (const element of document.querySelectorAll("[data-name]")) element.ariaLabel = words(element.dataset.name);
  $("language").textContent = language() === "zh" ? "English" : "中文";
  $("language").lang = language() === "zh" ? "en" : "zh-CN";
  const { state, key, parts } = $("curtain").dataset;
  if (!$("curtain").hidden) curtain(state, key, ...JSON.parse(parts || "[]"));
  const { kind, key: told } = $("state").dataset;
  if (told) show(kind, told);
  const face = chosen.face();
  if (face) for (const id of ["video", "canvas"]) $(id).ariaLabel = words("person", chosen.called(face));
  hints();
  timings();
}
const quieten = () => { const off = $("mute").ariaPressed === "true"; $("video").muted = off; if (output) output.gain.value = off ? 0 : 1; };

$("start").onclick = begin;
$("cancel").onclick = () => { end(); curtain("idle"); show("idle", "disconnected"); };
$("door").onsubmit = (event) => { event.preventDefault(); token = $("token").value.trim(); $("token").value = ""; sessionStorage.setItem("token", token); begin(); };
$("end").onclick = () => finish();
$("mute").onclick = () => { $("mute").ariaPressed = String($("mute").ariaPressed !== "true"); quieten(); };
$("fullscreen").hidden = !document.fullscreenEnabled;
$("fullscreen").onclick = () => (document.fullscreenElement ? document.exitFullscreen() : $("portrait").requestFullscreen());
$("unmute").onclick = () => { $("unmute").hidden = true; context.resume(); if (!$("video").hidden) $("video").play(); };
$("composer").onsubmit = send;
$("composer").onchange = hints;
$("text").oninput = typed;
$("text").onkeydown = (event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event); };
$("hush").onclick = hush;
addEventListener("keydown", (event) => { if (event.key === "Escape" && !document.querySelector("dialog[open]")) hush(); });
$("microphone").onclick = listen;
$("language").onclick = async () => {
  choose(language() === "zh" ? "en" : "zh");
  chosen.show(); speak(); welcome(chosen.canAsk(), offered);
  if (chosen.house) { await chosen.take(await ask("GET", "v1/house")).catch(() => {}); chosen.show(); } // what the server says of its engines
};
for (const id of ["captions", "show-timings"]) {
  const kept = localStorage.getItem(id);
  $(id).checked = kept === null || kept === "1";
  $(id).onchange = () => { localStorage.setItem(id, $(id).checked ? "1" : "0"); timings(); };
}
new ResizeObserver(frame).observe($("portrait"));
speak();
await visit();
