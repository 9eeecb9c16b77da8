"use strict";
// A list of answers, worked through by ear: what is pressed is saved at once by the server, which alone remembers it.

const byId = (id) => document.getElementById(id);
const KEYS = { " ": play, f: () => judge("wrong"), j: () => judge("right"), s: () => judge("skipped"), ArrowLeft: back, ArrowRight: next };
const SIGNS = { right: "✓", wrong: "✗", skipped: "–" };
const PLAYED_MARGIN_SECONDS = 0.05; // before a word that is pressed
const KEPT_SOUNDS = 8;
const LEAST_SHOWN_MS = 300; // a key that is pressed sooner was meant for the answer before

let phrases = {};
let answers = [];
let byWorth = []; // rows, the most doubtful first
let order = []; // rows, as they are shown
let said = {}; // what people said, by row
let row = -1; // the answer that is shown
let saving = false;
let shownAt = 0;
const sounds = new Map(); // addresses of recordings, by row
const buttons = new Map(); // of the list, by row

function say(name, values = {}) {
  return phrases[name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

async function ask(address, options = {}) {
  let reply;
  try {
    reply = await fetch(address, options);
  } catch {
    throw new Error(say("no_connection"));
  }
  if (reply.ok) return reply;
  if (reply.status === 404) throw new Error(say("gone"));
  const problem = await reply.json().catch(() => ({}));
  throw new Error(typeof problem.detail === "string" ? problem.detail : `HTTP ${reply.status}`);
}

function alertAbout(text) {
  byId("alert").textContent = text;
  byId("alert").hidden = !text;
}

// The list

function sorted(how) {
  const table = answers.map((_, place) => place);
  if (how === "worth") return [...byWorth];
  if (how === "table") return table;
  return table.sort((a, b) => answers[a].child.localeCompare(answers[b].child, undefined, { numeric: true }) || a - b);
}

function percent(answer) {
  return answer.probability === null ? "" : `${Math.min(Math.max(Math.round(100 * answer.probability), 1), 99)} %`;
}

function make(tag, className, text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

function fillList() {
  byId("list").replaceChildren(...order.map((place) => {
    const item = make("li", "");
    const button = make("button", "");
    button.type = "button";
    buttons.set(place, button);
    button.addEventListener("click", () => show(place, byId("at-once").checked));
    item.append(button);
    return item;
  }));
  answers.forEach((_, place) => fillItem(place));
}

function fillItem(place) {
  const answer = answers[place];
  const button = buttons.get(place);
  const state = said[place];
  const sign = make("span", `sign ${state || "open"}`, SIGNS[state] || "·");
  sign.title = say(state || "open");
  const hidden = make("span", "unseen", `${say(state || "open")}: `);
  sign.setAttribute("aria-hidden", "true");
  const doubtful = answer.signal.length || answer.notes.length || answer.problem;
  const parts = [sign, hidden, make("span", "what", answer.text), make("span", "who", answer.child), make("span", "share", percent(answer))];
  if (doubtful) {
    const mark = make("span", "doubtful", "⚠");
    mark.title = say("doubtful");
    mark.setAttribute("aria-label", say("doubtful"));
    mark.setAttribute("role", "img");
    parts.push(mark);
  }
  button.replaceChildren(...parts);
  button.classList.toggle("current", place === row);
  if (place === row) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
}

function fillProgress() {
  const done = Object.values(said).filter((each) => each !== "skipped").length;
  byId("bar").max = answers.length;
  byId("bar").value = done;
  byId("done").textContent = say("progress", { done, total: answers.length }) + (done === answers.length ? ` ${say("finished")}` : "");
}

// One answer

function show(place, aloud) {
  const before = row;
  if (place !== before) shownAt = performance.now();
  row = place;
  if (before >= 0) fillItem(before);
  fillItem(row);
  const answer = answers[row];
  const where = say("place", { place: order.indexOf(row) + 1, total: order.length });
  const child = answer.child ? `${say("child")} ${answer.child}` : "";
  byId("meta").textContent = [where, child, say(answer.task), `${say("grade")} ${answer.grade}`].filter(Boolean).join(" · ");
  byId("text").textContent = answer.text;
  const known = answer.probability !== null;
  byId("model").textContent = known ? say("model_says", { percent: percent(answer).replace(" %", "") }) : say("not_scored");
  byId("mark").parentElement.hidden = !known;
  byId("mark").style.left = `${100 * (answer.probability ?? 0)}%`;
  byId("words").replaceChildren(...answer.units.map(word));
  byId("remarks").replaceChildren(...remarks(answer));
  for (const each of ["right", "wrong", "skipped"]) {
    byId(each).setAttribute("aria-pressed", String(said[row] === each));
    byId(each).disabled = !answer.playable && each !== "skipped";
  }
  byId("saved").textContent = "";
  load(aloud);
  keepInView();
}

function word(unit) {
  const button = make("button", `unit ${unit.kind}`, unit.text || "+");
  button.type = "button";
  button.disabled = unit.start === null;
  button.style.background = `hsl(${Math.round(120 * Math.min(Math.max(unit.score, 0), 1))}, 75%, 80%)`;
  if (unit.kind !== "right") button.append(make("small", "", unit.heard ? `${say(unit.kind)}: ${unit.heard}` : say(unit.kind)));
  button.addEventListener("click", () => {
    byId("sound").currentTime = Math.max(0, unit.start - PLAYED_MARGIN_SECONDS);
    byId("sound").play().catch(() => {});
  });
  return button;
}

function remarks(answer) {
  const english = [answer.problem, ...answer.notes].filter(Boolean).map((text) => remark(text, "en")); // as the server writes
  return [...english, ...answer.signal.map((name) => remark(say("of_recording", { told: say(`signal: ${name}`) })))];
}

function remark(text, language = document.documentElement.lang) {
  const item = make("li", "", text);
  item.lang = language;
  return item;
}

function keepInView() {
  const item = buttons.get(row);
  const list = byId("list");
  if (item && list.scrollHeight > list.clientHeight) {
    list.scrollTop += item.getBoundingClientRect().top - list.getBoundingClientRect().top - list.clientHeight / 3;
  }
}

// Its recording, fetched whole: only then can every browser begin in the middle

async function address(place) {
  if (!sounds.has(place)) {
    const reply = await ask(`sounds/${place}`);
    sounds.set(place, URL.createObjectURL(await reply.blob()));
    const oldest = [...sounds.keys()].find((each) => each !== row && each !== place);
    if (sounds.size > KEPT_SOUNDS && oldest !== undefined) {
      URL.revokeObjectURL(sounds.get(oldest));
      sounds.delete(oldest);
    }
  }
  return sounds.get(place);
}

async function load(aloud) {
  const place = row;
  const player = byId("sound");
  player.removeAttribute("src");
  player.load();
  byId("play").disabled = !answers[place].playable;
  if (!answers[place].playable) return;
  try {
    const found = await address(place);
    if (place !== row) return; // another one is shown by now
    player.src = found;
    if (aloud) player.play().catch(() => {}); // a browser may want a key first
    const following = neighbour(1);
    if (following !== undefined && answers[following].playable) address(following).catch(() => {});
  } catch (error) {
    if (place === row) byId("remarks").append(remark(`${say("no_sound")} ${error.message}`));
  }
}

function play() {
  const player = byId("sound");
  if (!player.src) return;
  if (!player.paused) {
    player.pause();
    return;
  }
  if (player.ended) player.currentTime = 0;
  player.play().catch(() => {});
}

// What the person does

function neighbour(step) {
  return order[order.indexOf(row) + step];
}

function next() {
  if (neighbour(1) !== undefined) show(neighbour(1), byId("at-once").checked);
}

function back() {
  if (neighbour(-1) !== undefined) show(neighbour(-1), byId("at-once").checked);
}

function nextOpen() {
  const place = order.indexOf(row);
  return [...order.slice(place + 1), ...order.slice(0, place)].find((each) => !(each in said));
}

async function judge(judgement) {
  const place = row;
  const again = said[place] === judgement; // pressed a second time: taken back
  if (saving || byId(judgement).disabled || performance.now() - shownAt < LEAST_SHOWN_MS) return;
  saving = true;
  try {
    const what = again ? ["", { method: "DELETE" }] : [`?said=${judgement}`, { method: "PUT" }];
    const reply = await ask(`judgements/${place}${what[0]}`, what[1]);
    take(await reply.json());
    alertAbout("");
  } catch (error) {
    alertAbout(`${say("not_saved")} ${error.message}`);
    return;
  } finally {
    saving = false;
  }
  const following = again ? undefined : nextOpen();
  if (place !== row) return; // the person has gone on meanwhile
  if (following === undefined) show(place, false);
  else show(following, byId("at-once").checked);
  byId("text").focus({ preventScroll: true }); // so that the space bar plays, and does not press the button again
  byId("saved").textContent = again ? say("taken_back") : say("saved", { said: say(judgement) });
}

function take(found) {
  const before = said;
  said = found;
  answers.forEach((_, place) => before[place] !== said[place] && fillItem(place));
  fillProgress();
}

async function lookAgain() { // another tab may have gone on
  if (document.hidden || saving) return;
  try {
    take(await (await ask("judgements")).json());
  } catch (error) {
    alertAbout(error.message);
  }
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !byId("keys").checked) return;
  const target = event.target;
  if (target.closest("select")) return;
  if (event.key === " " && target.closest("button, a, summary, input")) return; // it presses that
  const isLetter = event.key.length === 1 && event.key !== " ";
  if (!isLetter && target.closest("audio")) return; // a player has keys of its own
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || event.repeat) return;
  event.preventDefault();
  act();
}

async function closeList() {
  if (!window.confirm(say("close_sure"))) return;
  try {
    await ask("./", { method: "DELETE" });
  } catch (error) {
    alertAbout(error.message);
    return;
  }
  document.querySelector("main").hidden = true;
  document.querySelector("header nav").hidden = true;
  alertAbout(say("closed"));
}

function remember(id) {
  const stored = localStorage.getItem(`class-${id}`);
  if (stored !== null) byId(id).checked = stored === "1";
  byId(id).addEventListener("change", () => localStorage.setItem(`class-${id}`, byId(id).checked ? "1" : "0"));
}

async function start() {
  phrases = JSON.parse(byId("phrases").textContent);
  const found = await (await ask("answers")).json();
  [answers, byWorth, said] = [found.answers, found.order, found.said];
  order = sorted("worth");
  byId("order").addEventListener("change", () => {
    order = sorted(byId("order").value);
    fillList();
    show(row, false);
  });
  for (const each of ["right", "wrong", "skipped"]) byId(each).addEventListener("click", () => judge(each));
  for (const [id, act] of [["play", play], ["next", next], ["back", back], ["close", closeList]]) byId(id).addEventListener("click", act);
  remember("at-once");
  remember("keys");
  document.addEventListener("keydown", onKey);
  document.addEventListener("visibilitychange", lookAgain);
  fillList();
  fillProgress();
  if (found.problem) alertAbout(`${say("not_saved")} ${found.problem}`);
  show(order.find((place) => !(place in said)) ?? order[0], false);
}

if (byId("print")) byId("print").addEventListener("click", () => window.print());
if (byId("phrases")) start().catch((error) => alertAbout(error.message));
