// The page: what the person sees and does. The way of the media is in rtc.js and socket.js.
import { overRTC } from "./rtc.js";
import { overSocket } from "./socket.js";
import { choose, language, words } from "./words.js";

const $ = (id) => document.getElementById(id);
const token = new URLSearchParams(location.hash.slice(1)).get("token") || sessionStorage.getItem("token") || "";
if (token) sessionStorage.setItem("token", token);
if (location.hash) history.replaceState(null, "", location.pathname + location.search);
const forced = new URLSearchParams(location.search).get("transport"); // for looking at one of them: ?transport=websocket

const wanted = JSON.parse(localStorage.getItem("wanted") || "{}"); // face, tts, voice, engine, chat, background
let house = null; // what this server has: faces, voices …
let session = null, line = null, context = null, microphone = null, wish = 0;
let uploaded = null;

// ---------------------------------------------------------------- asking the server

async function ask(method, path, body) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const form = body instanceof Blob;
  if (body && !form) headers["Content-Type"] = "application/json";
  const reply = await fetch(path, { method, headers, body: body && (form ? body : JSON.stringify(body)) });
  if (reply.ok) return reply.status === 204 ? null : reply.json();
  const told = await reply.json().catch(() => ({}));
  const error = new Error(reply.status === 401 ? words("token") : told.error || `${reply.status} ${reply.statusText}`);
  error.status = reply.status;
  error.after = Number(reply.headers.get("Retry-After")) || 0;
  throw error;
}

// ---------------------------------------------------------------- beginning and ending

async function begin() {
  const mine = ++wish;
  $("start").disabled = true;
  context ||= new AudioContext({ latencyHint: "interactive" });
  context.resume();
  show("wait", "preparing");
  try {
    const made = await ask("POST", "v1/sessions", { ...wanted, lang: language() });
    if (mine !== wish) return void ask("DELETE", `v1/sessions/${made.id}`);
    session = { ...made, post: (what, body) => ask("POST", `v1/sessions/${made.id}/${what}`, body) };
    show("wait", "connecting");
    await connect(mine);
  } catch (error) {
    if (mine !== wish) return;
    if (error.status === 429) return wait(error.after || 5, mine);
    fail(error);
  }
}

function wait(seconds, mine) { // all seats are taken: the queue is the page's own
  if (mine !== wish) return;
  if (seconds <= 0) return begin();
  show("wait", "full", seconds);
  setTimeout(() => wait(seconds - 1, mine), 1000);
}

async function connect(mine) {
  const shared = { onEvent: hear, onLost: () => lost(mine), microphone };
  line = null;
  if (forced !== "websocket" && globalThis.RTCPeerConnection && session.webrtc) {
    try {
      line = await overRTC(session, { ...shared, video: $("video"), patience: 2600 });
    } catch (error) { console.info("WebRTC:", error.message); }
  }
  if (!line && forced !== "webrtc") line = await overSocket(session, { ...shared, canvas: $("canvas"), context, onShown: shown });
  if (!line) throw new Error("WebRTC");
  if (mine !== wish) return line.close();
  const rtc = line.kind === "webrtc";
  $("video").hidden = !rtc; $("canvas").hidden = rtc; $("poster").style.visibility = "hidden"; $("curtain").hidden = true;
  document.body.dataset.transport = line.kind;
  welcome();
  show("good", rtc ? "over_webrtc" : "over_websocket");
  $("text").focus({ preventScroll: true });
}

async function lost(mine) {
  if (mine !== wish) return;
  show("wait", "reconnecting");
  for (let k = 0; k < 6 && mine === wish; k++) {
    try { return await connect(mine); } catch { await new Promise((r) => setTimeout(r, 500 * 2 ** k)); }
    try { await ask("GET", `v1/sessions/${session.id}`); } catch (error) { if (error.status === 404) break; }
  }
  if (mine === wish) { end(); show("idle", "ended"); }
}

function end() {
  wish++;
  line?.close(); line = null;
  if (session) ask("DELETE", `v1/sessions/${session.id}`).catch(() => {});
  session = null;
  $("curtain").hidden = false; $("start").disabled = false; $("poster").style.visibility = ""; $("video").hidden = $("canvas").hidden = true; $("hush").hidden = true;
  caption(null);
}
addEventListener("pagehide", () => { if (session) fetch(`v1/sessions/${session.id}`, { method: "DELETE", keepalive: true, headers: token ? { Authorization: `Bearer ${token}` } : {} }); });

function fail(error) { end(); show("bad", "disconnected"); toast(words("failed", error.message)); }

// ---------------------------------------------------------------- what is said

const spoken = new Map(); // id of an answer -> {item, text, sentences}
let partial = null, mood = "", times = {};

function hear(event) {
  const kind = event.type;
  if (kind === "state") {
    mood = event.value;
    document.body.dataset.mood = mood;
    $("hush").hidden = !(mood === "speaking" || mood === "thinking");
    if (line) mood === "idle" ? show("good", line.kind === "webrtc" ? "over_webrtc" : "over_websocket") : show("good", mood);
  } else if (kind === "heard") {
    partial ||= entry("person partial", "");
    partial.firstChild.textContent = event.text;
    if (event.final) { partial.classList.remove("partial"); if (!event.text) partial.remove(); partial = null; }
    scroll();
  } else if (kind === "answer") {
    if (!spoken.has(event.id)) spoken.set(event.id, { item: entry("avatar", ""), text: "" });
    const answer = spoken.get(event.id);
    answer.text += event.text;
    answer.item.firstChild.textContent = answer.text.trim();
    if (event.sources?.length) { const small = document.createElement("small"); small.textContent = words("source", event.sources.join(" · ")); answer.item.append(small); }
    scroll();
  } else if (kind === "sentence") caption(event.text, 0);
  else if (kind === "word") caption(event.sentence, event.end);
  else if (kind === "hushed" || kind === "ended") {
    if (kind === "hushed") { line?.silence?.(); cut(event); }
    caption(null);
    spoken.delete(event.id);
  } else if (kind === "timings") { times = { ...times, ...event }; timings(); }
  else if (kind === "pong") { times.trip = Math.round(performance.now() - event.at); timings(); }
  else if (kind === "error") toast(words("failed", event.text));
  else if (kind === "closed") { end(); show("idle", "ended"); }
}

function cut({ id, heard }) { // what was not heard any more is struck out
  const answer = spoken.get(id);
  if (!answer || heard === undefined) return;
  const text = answer.text.trim(), begin = text.startsWith(heard) ? heard.length : 0;
  if (begin === text.length) return;
  const rest = document.createElement("span");
  rest.className = "rest"; rest.textContent = text.slice(begin);
  answer.item.classList.add("cut");
  answer.item.firstChild.replaceChildren(text.slice(0, begin), rest);
}

function entry(kind, text) {
  const item = document.createElement("li"), body = document.createElement("span");
  $("log").querySelector(".welcome")?.remove();
  item.className = kind; body.textContent = text; item.append(body); $("log").append(item);
  while ($("log").children.length > 200) $("log").firstChild.remove();
  scroll();
  return item;
}
function welcome() { // what one may do here, until something has been said
  if ($("log").querySelector("li:not(.welcome)")) return;
  const item = document.createElement("li"), head = document.createElement("b"), about = document.createElement("span");
  item.className = "welcome";
  head.textContent = words("welcome"); about.textContent = words(canAsk() ? "welcome_ask" : "welcome_say");
  item.append(head, about, ...["try_1", "try_2", "try_3"].map((key) => {
    const button = document.createElement("button");
    button.type = "button"; button.textContent = words(key).replace(/\s*\[.*\]/, "");
    button.onclick = () => session?.post("say", { text: words(key) }).catch((error) => toast(error.message));
    return button;
  }));
  $("log").replaceChildren(item);
}
const canAsk = () => (wanted.chat || house.chat[0].name) !== "none";

const scroll = () => { $("log").scrollTop = $("log").scrollHeight; };

let fading = 0;
function caption(text, done = 0) {
  const place = $("caption");
  clearTimeout(fading);
  if (!text || !$("captions").checked) { fading = setTimeout(() => place.classList.remove("on"), text === null ? 600 : 0); return; }
  const said = document.createElement("span"), coming = document.createElement("span");
  said.className = "said"; coming.className = "coming";
  said.textContent = text.slice(0, done); coming.textContent = text.slice(done);
  place.replaceChildren(said, coming);
  place.classList.add("on");
}

async function send(event) {
  event?.preventDefault();
  const text = $("text").value.trim();
  if (!text || !session) return;
  const mode = new FormData($("composer")).get("mode");
  $("text").value = ""; grow();
  if (mode === "ask") entry("person", text);
  try { await session.post(mode, { text }); } catch (error) { if (error.status !== 404) toast(error.message); }
}

// ---------------------------------------------------------------- the microphone

async function listen() {
  if (microphone) { stop(); return; }
  if (!house.asr) return toast(words("no_ears"));
  if (!navigator.mediaDevices) return toast(words("no_microphone", words("microphone_insecure")));
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 } });
    [microphone] = stream.getAudioTracks();
  } catch (error) { return toast(words("no_microphone", error.name === "NotAllowedError" ? words("microphone_denied") : error.message)); }
  $("microphone").ariaPressed = "true";
  $("listening").hidden = false;
  microphone.onended = stop;
  meter(microphone);
  await line?.setMicrophone(microphone);
  line?.send({ type: "microphone", on: true });
}

function stop() {
  microphone?.stop(); microphone = null;
  $("microphone").ariaPressed = "false";
  $("listening").hidden = true;
  line?.setMicrophone(null);
  line?.send({ type: "microphone", on: false });
}

function meter(track) {
  const analyser = context.createAnalyser(), levels = new Uint8Array(32), bars = [...$("listening").children];
  analyser.fftSize = 64; analyser.smoothingTimeConstant = 0.6;
  const tap = context.createMediaStreamSource(new MediaStream([track]));
  tap.connect(analyser);
  const draw = () => {
    if (microphone !== track) return tap.disconnect();
    analyser.getByteFrequencyData(levels);
    bars.forEach((bar, i) => { bar.style.height = `${20 + levels[1 + i * 3] / 255 * 75}%`; });
    requestAnimationFrame(draw);
  };
  draw();
}

// ---------------------------------------------------------------- numbers on screen

function timings() {
  if (!$("show-timings").checked) return;
  const rows = [["heard_text", times.text], ["text_answer", times.answer], ["answer_sound", times.sound], ["sound_frame", times.frame], ["total", times.total], ["trip", times.trip], ["late", times.late]];
  $("timings").replaceChildren(...rows.filter(([, value]) => value !== undefined && value !== null).map(([name, value]) => {
    const row = document.createElement("div"), term = document.createElement("dt"), number = document.createElement("dd");
    term.textContent = words(name);
    number.textContent = name === "late" ? value : `${Math.round(value)} ms`;
    row.append(term, number);
    return row;
  }));
}
const shownAt = [];
function shown(at, clock) { if (Number.isFinite(clock)) { shownAt.push(at - clock); if (shownAt.length > 250) shownAt.shift(); } }
globalThis.huashen = { get session() { return session; }, get line() { return line; }, get times() { return times; }, shownAt, hear }; // for tests and the curious

// ---------------------------------------------------------------- settings

function options(select, rows, value) {
  select.replaceChildren(...rows.map(([id, name, missing]) => {
    const option = new Option(missing ? `${name} — ${missing}` : name, id, false, id === value);
    option.disabled = Boolean(missing);
    return option;
  }));
}

async function picture(face) {
  const reply = await fetch(`v1/faces/${encodeURIComponent(face.id)}/picture`, { headers: token ? { Authorization: `Bearer ${token}` } : {} });
  return reply.ok ? URL.createObjectURL(await reply.blob()) : "icon.svg";
}

async function furnish() {
  const chosenFace = wanted.face || house.faces[0]?.id;
  const faces = await Promise.all(house.faces.map(async (face) => {
    face.picture ||= await picture(face);
    const label = document.createElement("label"), input = document.createElement("input"), image = document.createElement("img"), name = document.createElement("span");
    Object.assign(input, { type: "radio", name: "face", value: face.id, checked: face.id === chosenFace });
    image.src = face.picture; image.alt = name.textContent = called(face); name.className = "name";
    label.append(input, image, name);
    return label;
  }));
  if (house.upload_bytes) {
    const add = document.createElement("label"), file = document.createElement("input"), box = document.createElement("span");
    Object.assign(file, { type: "file", accept: "image/*" });
    file.onchange = () => file.files[0] && upload(file.files[0]);
    box.className = "add"; box.textContent = words("add_face");
    add.append(file, box);
    faces.push(add);
  }
  $("faces").replaceChildren(...faces);
  options($("tts"), [["", words("auto")], ...house.tts.map((e) => [e.name, e.name, e.missing])], wanted.tts || "");
  options($("engine"), [["", words("auto")], ...house.engines.map((e) => [e.name, e.name, e.missing])], wanted.engine || "");
  options($("chat"), [["", words("auto")], ...house.chat.map((e) => [e.name, e.name === "none" ? words("none") : e.name, e.missing])], wanted.chat || "");
  voices();
  const tones = { original: "", blur: "", studio: "linear-gradient(160deg,#5b6b86,#232a38)", green: "#00b140", white: "#fff" };
  $("backgrounds").replaceChildren(...Object.entries(tones).map(([name, paint]) => {
    const label = document.createElement("label"), input = document.createElement("input"), box = document.createElement("i");
    Object.assign(input, { type: "radio", name: "background", value: name, checked: name === (wanted.background || "original") });
    box.style.background = paint; box.textContent = paint ? "" : words(name); box.title = words(name);
    input.ariaLabel = words(name);
    label.append(input, box);
    return label;
  }));
  const face = house.faces.find((f) => f.id === chosenFace) || house.faces[0];
  if (face) {
    $("poster").src = face.picture; $("who").textContent = called(face);
    $("portrait").style.setProperty("--face", `url("${face.picture}")`);
  }
  document.querySelector(".mode").hidden = !canAsk(); // with nobody to answer there is only one thing to do
  document.querySelector(`.mode input[value=${canAsk() ? "ask" : "say"}]`).checked = true;
  speak();
}
const called = (face) => (face.name === "example" ? words("example") : face.name);

function voices() {
  const engine = house.tts.find((e) => e.name === $("tts").value) || house.tts.find((e) => e.default) || house.tts[0];
  const known = { female: words("female"), male: words("male") };
  options($("voice"), [["", words("auto")], ...(engine?.voices || []).map((name) => [name, known[name] || name])], wanted.voice || "");
}

async function upload(file) {
  if (file.size > house.upload_bytes) return toast(words("too_large", Math.floor(house.upload_bytes / 1e6)));
  try {
    const face = await ask("POST", "v1/faces", file);
    house.faces = house.faces.filter((f) => f.id !== uploaded);
    uploaded = face.id;
    house.faces.push(face);
    wanted.face = face.id;
    await furnish();
  } catch (error) { toast(error.message); }
}

function apply() {
  const form = new FormData($("settings").querySelector("form"));
  for (const [key, value] of [["face", form.get("face")], ["background", form.get("background")], ["tts", $("tts").value], ["voice", $("voice").value], ["engine", $("engine").value], ["chat", $("chat").value]]) {
    if (value && value !== "original") wanted[key] = value; else delete wanted[key];
  }
  localStorage.setItem("wanted", JSON.stringify(wanted.face === uploaded ? { ...wanted, face: undefined } : wanted));
  furnish();
  if (session) { end(); begin(); }
}

// ---------------------------------------------------------------- words and small things

function show(kind, key, ...parts) {
  $("state").dataset.kind = kind;
  $("state").lastElementChild.textContent = words(key, ...parts);
  $("state").dataset.key = key;
}

let toasting = 0;
function toast(text) {
  $("toast").textContent = text; $("toast").hidden = false;
  clearTimeout(toasting); toasting = setTimeout(() => { $("toast").hidden = true; }, 7000);
}

function speak() { // puts the chosen language everywhere
  document.documentElement.lang = language() === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = words(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.ariaLabel = words(element.dataset.label);
  $("language").textContent = language() === "zh" ? "English" : "中文";
  $("start").textContent = words("start"); $("start-hint").textContent = words("start_hint"); $("settings-note").textContent = words("restart_note");
  for (const [id, key] of [["microphone", "microphone"], ["send", "send"], ["hush", "hush"], ["settings-open", "settings"]]) $(id).ariaLabel = $(id).title = words(key);
  const mode = new FormData($("composer")).get("mode");
  $("text").placeholder = words(`${mode}_placeholder`); $("text").ariaLabel = words(mode);
  const { kind, key } = $("state").dataset;
  show(kind, key || "disconnected");
  timings();
}
function grow() { $("text").style.height = "auto"; $("text").style.height = `${$("text").scrollHeight}px`; }

$("start").onclick = begin;
$("composer").onsubmit = send;
$("composer").onchange = speak;
$("text").oninput = grow;
$("text").onkeydown = (event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event); };
$("hush").onclick = () => session?.post("hush").catch(() => {});
addEventListener("keydown", (event) => { if (event.key === "Escape" && !$("settings").open) session?.post("hush").catch(() => {}); });
$("microphone").onclick = listen;
$("language").onclick = () => { choose(language() === "zh" ? "en" : "zh"); speak(); if (house) furnish(); if (line) welcome(); };
$("settings-open").onclick = () => $("settings").showModal();
$("settings").onclose = () => { if ($("settings").returnValue === "apply") apply(); $("settings").returnValue = ""; };
$("tts").onchange = voices;
$("show-timings").checked = localStorage.getItem("timings") === "1";
$("show-timings").onchange = () => { localStorage.setItem("timings", $("show-timings").checked ? "1" : "0"); $("timings").hidden = !$("show-timings").checked; timings(); };
$("timings").hidden = !$("show-timings").checked;
speak();
try {
  house = await ask("GET", "v1/house");
  if (wanted.face && !house.faces.some((face) => face.id === wanted.face)) delete wanted.face;
  $("microphone").hidden = !house.asr;
  await furnish();
} catch (error) { $("start").disabled = true; toast(error.message); }
