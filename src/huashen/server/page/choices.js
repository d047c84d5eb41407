// What may be chosen: face, background, voice, engine, who answers; and a picture of one's own.
import { language, words } from "./words.js";

const $ = (id) => document.getElementById(id);
const BACKGROUNDS = { original: "", blur: "", studio: "linear-gradient(160deg,#5b6b86,#232a38)", green: "#00b140", white: "#fff" };

// The page's choices. `server` asks it ({json, picture}), `changed` is called when others are to be used, `told` shows a line of text.
export function choices({ server, changed, told }) {
  const wanted = JSON.parse(localStorage.getItem("wanted") || "{}"); // face, tts, voice, engine, chat, background, style: what is not there is the server's choice
  let house = null, uploaded = null;
  const face = () => house?.faces.find(({ id }) => id === wanted.face) || house?.faces[0];
  const called = ({ name, id }) => (name === "example" ? words("example") : id === uploaded ? words("add_face") : name);
  const canAsk = () => Boolean(house) && (wanted.chat || house.chat[0].name) !== "none";
  const styled = () => house.faces.filter((one) => one.style); // whose mouth another face's may move like
  const keep = () => localStorage.setItem("wanted", JSON.stringify({ ...wanted, face: wanted.face === uploaded ? undefined : wanted.face }));

  async function take(found) { // a house as the server describes it
    const mine = house?.faces.find(({ id }) => id === uploaded);
    house = found;
    if (mine) house.faces.push(mine);
    const known = { face: house.faces.map((f) => f.id), tts: house.tts.map((e) => e.name), engine: house.engines.map((e) => e.name), chat: house.chat.map((e) => e.name), style: styled().map(({ id }) => id) };
    for (const [key, names] of Object.entries(known)) if (wanted[key] && !names.includes(wanted[key])) delete wanted[key]; // chosen on another day
    await Promise.all(house.faces.map(async (one) => { one.picture ||= await server.picture(one.id).catch(() => "icon.svg"); }));
  }

  function tile(group, value, name, checked, ...look) {
    const label = document.createElement("label"), input = document.createElement("input"), box = document.createElement("span"), text = document.createElement("span");
    Object.assign(input, { type: "radio", name: group, value, checked });
    box.className = "look"; box.append(...look); text.className = "name"; text.textContent = text.title = name;
    label.append(input, box, text);
    return label;
  }
  function cropped(one, shape = 1) { // the head and some of what is around it, for a tile that is `shape` times as high as wide
    const image = new Image();
    image.alt = "";
    image.src = one.picture;
    if (one.head) {
      const [x0, y0, x1, y1] = one.head, [width, height] = one.size;
      const side = Math.min(Math.max((x1 - x0) * width, (y1 - y0) * height / shape) * 2, width, height / shape);
      const part = (middle, whole, seen) => Math.min(Math.max(middle * whole - seen / 2, 0), whole - seen) / whole * -100;
      const left = part((x0 + x1) / 2, width, side), top = part((y0 + y1) / 2 - (y1 - y0) * 0.1, height, side * shape);
      Object.assign(image.style, { width: `${width / side * 100}%`, height: "auto", translate: `${left}% ${top}%` });
    }
    return image;
  }
  function options(select, rows, value) {
    select.replaceChildren(...rows.map(([id, name, missing]) => {
      const option = new Option(missing ? `${name} — ${missing}` : name, id, false, id === value);
      option.disabled = Boolean(missing);
      return option;
    }));
  }
  const ready = (rows) => [...rows.filter((e) => !e.missing), ...rows.filter((e) => e.missing)]; // what cannot be used stands last

  function show() { // everything as it is now, in the page's language
    if (!house) return;
    const now = face();
    const add = document.createElement("button"), box = document.createElement("span"), name = document.createElement("span");
    add.type = "button"; add.id = "add-face"; add.onclick = () => $("file").click(); add.hidden = !house.upload_bytes;
    box.className = "look add"; box.innerHTML = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 5v14M5 12h14"/></svg>';
    name.className = "name"; name.textContent = words("add_face");
    add.append(box, name);
    $("faces").replaceChildren(...house.faces.map((one) => tile("face", one.id, called(one), one === now, cropped(one))), add);
    $("backgrounds").replaceChildren(...house.backgrounds.map((one) => {
      const made = tile("background", one, words(one), one === (wanted.background || "original"), ...(BACKGROUNDS[one] ? [] : [cropped(now, 0.69)]));
      made.querySelector(".look").style.background = BACKGROUNDS[one] || "";
      made.querySelector(".look").classList.add(one);
      return made;
    }));
    options($("tts"), [["", words("auto")], ...ready(house.tts).map((e) => [e.name, e.name, e.missing])], wanted.tts || "");
    options($("engine"), [["", words("auto")], ...ready(house.engines).map((e) => [e.name, e.name, e.missing])], wanted.engine || "");
    options($("chat"), [["", `${words("auto")} (${words(house.chat[0].name)})`], ...house.chat.map((e) => [e.name, words(e.name), e.missing])], wanted.chat || "");
    $("chat").closest("label").hidden = house.chat.length < 2;
    options($("style"), [["", words("own_style")], ...styled().map((one) => [one.id, called(one)])], wanted.style || "");
    $("style").closest("label").hidden = !styled().length;
    voices();
    $("poster").src = now.picture; $("who").textContent = called(now);
    $("portrait").style.setProperty("--face", `url("${now.picture}")`);
  }
  function voices() {
    const chosen = house.tts.find((e) => e.name === $("tts").value), engine = chosen || house.tts.find((e) => e.default) || house.tts[0];
    options($("voice"), [["", words("auto")], ...(engine?.voices || []).map((name) => [name, ["female", "male"].includes(name) ? words(name) : name])], wanted.voice || "");
    $("tts-about").textContent = chosen?.about || "";
    $("tts-about").hidden = !chosen;
  }
  function apply() {
    const form = new FormData($("settings").querySelector("form")), before = JSON.stringify(wanted);
    const asked = { face: form.get("face"), background: form.get("background"), tts: $("tts").value, voice: $("voice").value, engine: $("engine").value, chat: $("chat").value, style: $("style").value };
    for (const [key, value] of Object.entries(asked)) if (value && value !== "original" && !(key === "face" && value === house.faces[0].id)) wanted[key] = value; else delete wanted[key];
    keep();
    show();
    if (JSON.stringify(wanted) !== before) changed();
  }

  // A picture of one's own: picked or dropped, looked at, agreed to, sent.
  let bringing = null;
  function bring(file) {
    if (!house?.upload_bytes) return told(words("no_uploads"));
    if (!file.type.startsWith("image/") && !/\.(jpe?g|png|webp|heic|heif|avif|gif|bmp|tiff?)$/i.test(file.name)) return told(words("no_picture"));
    if (file.size > house.upload_bytes) return told(words("too_large", Math.floor(house.upload_bytes / 1e6)));
    bringing = file;
    URL.revokeObjectURL($("bring-picture").src);
    $("bring-picture").src = URL.createObjectURL(file); $("bring-picture").alt = file.name; $("bring-name").textContent = file.name;
    $("agreed").checked = $("agreed").disabled = false; $("bring-go").disabled = true; $("bring-go").textContent = words("bring_go"); $("bring-error").hidden = true;
    if (!$("bring").open) $("bring").showModal();
  }
  async function send(event) {
    event.preventDefault();
    if (!$("agreed").checked || $("bring-go").disabled) return;
    $("bring-go").disabled = $("agreed").disabled = true; $("bring-go").textContent = words("bring_busy"); $("bring-error").hidden = true;
    const file = bringing;
    try {
      const found = await server.json("POST", "v1/faces?consent=yes", file);
      if (bringing !== file) return;
      house.faces = house.faces.filter(({ id }) => id !== uploaded);
      uploaded = wanted.face = found.id;
      house.faces.push({ ...found, picture: await server.picture(found.id) });
      $("bring").close(); $("settings").close();
      show();
      changed();
    } catch (error) {
      if (bringing === file) { $("bring-error").textContent = error.message; $("bring-error").hidden = false; $("agreed").disabled = false; }
    }
    if (bringing === file) { $("bring-go").disabled = !$("agreed").checked; $("bring-go").textContent = words("bring_go"); }
  }
  $("agreed").onchange = () => { $("bring-go").disabled = !$("agreed").checked; };
  $("bring").querySelector("form").onsubmit = send;
  $("bring").onclose = () => { bringing = null; };
  for (const button of $("bring").querySelectorAll("[data-close]")) button.onclick = () => $("bring").close();
  $("file").onchange = () => { const [file] = $("file").files; $("file").value = ""; if (file) bring(file); };
  let over = 0; // how many elements deep the pointer is, while a file is dragged
  const files = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  addEventListener("dragenter", (event) => { if (files(event) && house?.upload_bytes) { over++; $("drop").hidden = false; } });
  addEventListener("dragleave", (event) => { if (files(event) && --over <= 0) { over = 0; $("drop").hidden = true; } });
  addEventListener("dragover", (event) => { if (files(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    over = 0; $("drop").hidden = true;
    if (event.dataTransfer.files[0]) bring(event.dataTransfer.files[0]);
  });

  $("tts").onchange = voices;
  $("settings-open").onclick = () => { show(); $("settings").showModal(); };
  $("settings").onclose = () => { if ($("settings").returnValue === "apply") apply(); $("settings").returnValue = ""; };
  for (const dialog of [$("settings"), $("bring")]) dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); }); // beside it
  return { take, show, canAsk, face, called, wish: () => ({ ...wanted, lang: language() }), get house() { return house; } };
}
