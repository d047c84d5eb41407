// What was said, as it is shown: a little Markdown, what was not heard any more struck out, and never HTML from outside.
import { words } from "./words.js";

const list = document.getElementById("log"), latest = document.getElementById("latest");
const MOST = 200; // entries

const make = (tag, name, ...inside) => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...inside);
  return element;
};

let following = true; // the newest is looked at; who has scrolled up is left there
list.addEventListener("scroll", () => {
  following = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
  latest.hidden = following;
});
latest.onclick = () => { following = true; follow(); };
export function follow() {
  if (following) list.scrollTop = list.scrollHeight;
  latest.hidden = following;
}

export function entry(kind, text = "") {
  list.querySelector(".welcome")?.remove();
  const body = make("div", "prose");
  const item = make("li", kind, body);
  if (text) body.textContent = text;
  list.append(item);
  while (list.children.length > MOST) list.firstChild.remove();
  follow();
  return item;
}

export const note = (text) => { if (list.children.length && !list.lastChild.matches(".welcome, .note")) entry("note", text); };
export const dots = () => make("span", "dots", make("i"), make("i"), make("i"));

export function welcome(canAsk, say) { // what one may do here, until something has been said
  if (list.querySelector("li:not(.welcome)")) return;
  const tries = ["try_1", "try_2", "try_3"].map((key) => {
    const button = make("button", "", words(key).replace(/\s*\[.*\]/, ""));
    button.type = "button";
    button.onclick = () => say(words(key));
    return button;
  });
  list.replaceChildren(make("li", "welcome", make("b", "", words("welcome")), words(canAsk ? "welcome_ask" : "welcome_say"), ...tries));
}

// ---------------------------------------------------------------- Markdown, as much as an answer has

export function write(item, text) {
  item.querySelector(".prose").replaceChildren(...blocks(text));
  follow();
}

function blocks(text) {
  const found = [];
  text.split(/^[ \t]*```/m).forEach((part, k) => {
    if (k % 2) return found.push(code(part.replace(/^[^\n]*\n?/, "").replace(/\n[ \t]*$/, "")));
    for (const paragraph of part.split(/\n\s*\n/)) if (paragraph.trim()) found.push(...lines(paragraph.replace(/^\n+|\s+$/g, "")));
  });
  return found;
}

function lines(paragraph) { // its running text as one paragraph, headings and items of lists each by themselves
  const found = [];
  let running = null;
  for (const line of paragraph.split("\n")) {
    const heading = line.match(/^\s{0,3}#{1,6}\s+(.*)$/), item = line.match(/^\s*([-*+]|\d{1,3}[.)])\s+(.*)$/);
    if (heading) { found.push(make("b", "title", ...inline(heading[1]))); running = null; }
    else if (item) { found.push(make("p", "item", /\d/.test(item[1]) ? `${item[1]} ` : "• ", ...inline(item[2]))); running = null; }
    else if (running) running.append("\n", ...inline(line));
    else found.push(running = make("p", "", ...inline(line)));
  }
  return found;
}

function inline(text) {
  return text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*|\*[^*\s][^*\n]*\*)/).filter(Boolean).map((part) =>
    part.length > 2 && part.startsWith("`") && part.endsWith("`") ? make("code", "", part.slice(1, -1))
      : part.length > 4 && part.startsWith("**") && part.endsWith("**") ? make("b", "", part.slice(2, -2))
        : part.length > 2 && part.startsWith("*") && part.endsWith("*") ? make("em", "", part.slice(1, -1)) : part);
}

function code(text) {
  const block = make("pre", "", make("code", "", text));
  block.tabIndex = 0; // long lines are scrolled by keyboard
  if (navigator.clipboard) {
    const button = make("button", "", words("copy"));
    button.type = "button";
    button.onclick = () => navigator.clipboard.writeText(text).then(() => { button.textContent = words("copied"); });
    block.append(button);
  }
  return block;
}

// ---------------------------------------------------------------- what was not heard

const counted = /[\p{L}\p{N}]/u;

export function cut(item, heard) { // Strikes out what follows the text that was heard. Letters are counted, for marks and code are not spoken.
  let left = [...heard].filter((c) => counted.test(c)).length;
  const nodes = [], walk = document.createTreeWalker(item.querySelector(".prose"), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) if (!walk.currentNode.parentElement.closest("pre")) nodes.push(walk.currentNode);
  for (const node of nodes) {
    let at = 0;
    for (const c of node.data) {
      const letter = counted.test(c);
      if (!left && (letter || !heard.trim())) break;
      at += c.length;
      left -= letter;
    }
    if (at >= node.data.length) continue;
    const rest = node.splitText(at);
    if (rest.data.trim()) { const struck = make("s", "rest"); rest.replaceWith(struck); struck.append(rest); item.classList.add("cut"); }
  }
}
