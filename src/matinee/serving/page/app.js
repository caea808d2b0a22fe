// The demo page: one text, why, a whole file, what was asked before. Texts and names are only ever set as text, never as HTML.

import * as csv from "./csv.js";

const SAMPLES = [
  ["Praise", "A warm, funny film with a cast that clearly enjoys every scene. I laughed, I cried a little, and I would gladly see it again."],
  ["Complaint", "Dull from the first scene to the last. The plot makes no sense, the acting is wooden, and the ending is a waste of two hours."],
  ["Mixed", "The photography is gorgeous and the lead is excellent, but the script runs out of ideas after half an hour and the last act is a mess."],
  ["Sarcasm", "Oh, wonderful: another sequel nobody asked for. I was so thrilled that I only checked my watch every four minutes."],
  [
    "A long one",
    "I went in knowing nothing about this film. The first twenty minutes are slow, and I was close to leaving. The dialogue is stiff and the music tells you what to feel before anything has happened.\n\n" +
      "Then the second story begins. The old projectionist is a marvellous character, played with such patience that you forget you are watching an actor. His scenes with the girl are tender and very funny. " +
      "There is a chase that should not work at all and is the best thing I have seen this year.\n\n" +
      "It is not perfect. The villain is a cartoon, and the last speech is far too long. Still, I walked home smiling, and I have thought about it every day since.",
  ],
];
const LIVE_DELAY = 350;
const BATCH = 50;
const MOST_BARS = 5;
const MOST_HISTORY = 50;
const MOST_KEPT = 20000;
const MOST_BYTES = 200 * 1024 * 1024;
const PREVIEW_ROWS = 3;
const RANKED = 5;
// Weaker words are not marked: a text in which everything is marked has nothing marked.
const LEAST_SHARE = 0.2;
// A file in which so many texts were refused and none taken is refused for another reason than its texts.
const MOST_REFUSED = 50;
const UNCERTAIN = "uncertain";
const HISTORY_KEY = "matinee-history";

const at = (id) => document.getElementById(id);
const count = (number) => number.toLocaleString("en");
const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
const signed = (number) => (Math.abs(number) < 0.005 ? "0.00" : `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(2)}`);
const limit = () => Number(at("threshold").value) / 100;

/** Return a share as a percentage that says 0 or 100 only where it is. */
function percent(share, digits = 1) {
  const least = 10 ** -digits;
  if (share > 0 && share * 100 < least / 2) return `<${least}%`;
  if (share < 1 && 100 - share * 100 < least / 2) return `>${(100 - least).toFixed(digits)}%`;
  return `${(share * 100).toFixed(digits)}%`;
}

/** Make an element that holds a text or other elements. */
function make(tag, className = "", ...content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...content);
  return element;
}

/** Show one line beside what failed, or hide it. */
function complain(id, message = "", { waiting = false } = {}) {
  const line = at(id);
  line.hidden = !message;
  line.classList.toggle("waiting", waiting);
  line.textContent = message;
}

let announcing = 0;
/** Tell a screen reader, once it is quiet. */
function announce(message, delay = 0) {
  clearTimeout(announcing);
  announcing = setTimeout(() => (at("announcement").textContent = message), delay);
}

/** JSON has no half of a surrogate pair. */
const wellFormed = (text) => text.replace(/\p{Surrogate}/gu, "\ufffd");

// --- The server ---

/** What went wrong, in words for the reader. */
class Problem extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }

  /** Whether the server has read the texts and does not want them. */
  get refused() {
    return [400, 413, 422].includes(this.status);
  }
}

const access = { key: "", declined: false, asking: null };

/** Ask for the key, once for all who wait for it. */
function askForKey(refused) {
  access.asking ??= openKeyDialog(refused).finally(() => (access.asking = null));
  return access.asking;
}

function openKeyDialog(refused) {
  const [dialog, field] = [at("key-dialog"), at("key")];
  complain("key-problem", refused ? "The server did not take this key." : "");
  field.value = "";
  dialog.showModal();
  field.focus();
  return new Promise((done, fail) => {
    const listening = new AbortController();
    const end = (key) => {
      listening.abort();
      access.declined = !key;
      if (key) access.key = key;
      dialog.close();
      if (key) done();
      else fail(new Problem("This server asks for a key, which whoever runs it can give you.", 401));
    };
    const submit = (event) => {
      event.preventDefault();
      const key = field.value.trim();
      // Other characters cannot be sent in a header.
      if (/^[\x21-\x7e]+$/.test(key)) end(key);
      else complain("key-problem", key ? "A key has no spaces and no accented letters." : "Type or paste the key first.");
    };
    at("key-form").addEventListener("submit", submit, listening);
    at("key-cancel").addEventListener("click", () => end(""), listening);
    dialog.addEventListener("cancel", () => end(""), listening);
  });
}

async function send(path, body, key, signal) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  try {
    return await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer. See that it is still running, then try again.");
  }
}

async function problemOf(response) {
  const said = await response.json().catch(() => null);
  const message = typeof said?.error === "string" ? said.error : `The server answered with error ${response.status} and gave no reason.`;
  return new Problem(message, response.status);
}

/** Return the seconds to wait before asking again: as many as the server says, but no more than a minute. */
function retryAfter(response) {
  const said = response.headers.get("Retry-After") ?? "";
  const seconds = /^\d+(\.\d+)?$/.test(said) ? Number(said) : (Date.parse(said) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(60, Math.max(0.1, seconds)) : 1;
}

function sleep(seconds, signal) {
  return new Promise((done, fail) => {
    const stop = () => {
      clearTimeout(timer);
      fail(signal.reason);
    };
    const wake = () => {
      signal?.removeEventListener("abort", stop);
      done();
    };
    const timer = setTimeout(wake, seconds * 1000);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/**
 * Ask the server; wait and ask again while it is busy, and ask the reader for the key where one is needed.
 *
 * `asks` is false for what the reader did not press a button for: who has declined to give a key is not asked at every letter.
 */
async function request(path, { body, signal, tries = 4, onWait, asks = true } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    const { key } = access;
    const response = await send(path, body, key, signal);
    if (response.ok) return response;
    const busy = response.status === 429 || response.status === 503;
    if (response.status === 401 && (asks || !access.declined)) {
      if (key === access.key) await askForKey(Boolean(key));
    } else if (busy && attempt < tries) {
      const seconds = retryAfter(response);
      onWait?.(seconds);
      await sleep(seconds, signal);
    } else {
      throw await problemOf(response);
    }
  }
}

async function call(path, options) {
  const response = await request(path, options);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server's answer cannot be read. See that it is a matinee server of this version.");
  }
}

const waitingLine = (seconds) => `The server is busy; asking again in ${plural(Math.ceil(seconds), "second")}.`;

/** Hand a file to the reader. */
function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// --- Bars ---

/** Show shares as bars. Rows: name, share, figure, chosen. A bar that is there already moves to its new width. */
function showBars(list, rows, threshold = 0) {
  const names = rows.map((row) => row.name).join("\0");
  if (list.shownNames !== names) {
    list.shownNames = names;
    list.replaceChildren(...rows.map(makeBar));
  }
  rows.forEach((row, number) => {
    const item = list.children[number];
    item.classList.toggle("chosen", row.chosen);
    item.querySelector(".figure").textContent = row.figure;
    item.querySelector(".fill").style.setProperty("--share", `${row.share * 100}%`);
    const mark = item.querySelector(".limit");
    mark.hidden = !threshold;
    mark.style.setProperty("--limit", `${threshold * 100}%`);
  });
}

function makeBar({ name }) {
  const label = make("span", "name", name);
  label.dir = "auto";
  const track = make("span", "track", make("span", "fill"), make("span", "limit"));
  track.setAttribute("aria-hidden", "true");
  return make("li", "", label, make("span", "figure"), track);
}

// --- One text ---

const single = { number: 0, timer: 0, controller: null, answered: null, allLabels: false };

const readText = () => wellFormed(at("text").value);

/** The text has changed: what was said of another one goes, and the new one is asked about soon. */
function textChanged() {
  const { length } = at("text").value;
  at("length").textContent = length ? plural(length, "character") : "";
  at("clear").hidden = !length;
  hideExplanation();
  at("answer").classList.toggle("stale", readText() !== single.answered?.text);
  clearTimeout(single.timer);
  if (readText().trim()) single.timer = setTimeout(() => judge({ deliberate: false }), LIVE_DELAY);
  else clearAnswer();
}

function clearAnswer() {
  single.number += 1;
  single.controller?.abort();
  single.answered = null;
  at("busy").hidden = true;
  at("answer").hidden = true;
  at("no-answer").hidden = false;
  complain("text-problem");
}

function demandText() {
  complain("text-problem", "Type or paste a text first.");
  at("text").focus();
}

async function judge({ deliberate }) {
  clearTimeout(single.timer);
  const text = readText();
  if (!text.trim()) return demandText();
  const number = (single.number += 1);
  single.controller?.abort();
  const { signal } = (single.controller = new AbortController());
  const isLatest = () => number === single.number;
  at("busy").hidden = false;
  try {
    const onWait = (seconds) => complain("text-problem", waitingLine(seconds), { waiting: true });
    const answer = await call("predict", { body: { texts: [text] }, signal, onWait, asks: deliberate });
    if (isLatest()) answered(text, answer.predictions[0], deliberate);
  } catch (error) {
    if (isLatest()) judgeFailed(error);
  } finally {
    if (isLatest()) at("busy").hidden = true;
  }
}

function answered(text, prediction, deliberate) {
  single.answered = { text, prediction };
  single.allLabels = false;
  complain("text-problem");
  showAnswer();
  remember(text, prediction, deliberate);
  // On a phone the answer stands below the fold.
  if (deliberate && at("why").hidden) at("answer-card").scrollIntoView({ block: "nearest" });
}

function judgeFailed(error) {
  if (error.name === "AbortError") return;
  single.answered = null;
  at("answer").hidden = true;
  at("no-answer").hidden = false;
  complain("text-problem", sayProblem(error));
}

function sayProblem(error) {
  if (error instanceof Problem || error instanceof csv.TableError) return error.message;
  console.error(error);
  return "This page made a mistake; reload it and try again.";
}

/** Show the latest answer as the threshold has it. */
function showAnswer() {
  if (!single.answered) return;
  const { label, score, probabilities } = single.answered.prediction;
  const abstains = score < limit();
  at("answer").hidden = false;
  at("answer").classList.toggle("stale", readText() !== single.answered.text);
  at("no-answer").hidden = true;
  at("answer-card").classList.toggle("uncertain", abstains);
  at("verdict").textContent = abstains ? UNCERTAIN : label;
  at("sure").textContent = abstains ? "" : `${percent(score)} sure`;
  at("abstained").hidden = !abstains;
  at("abstained").textContent = `Likeliest is “${label}”, of which the model is ${percent(score)} sure: less than the ${percent(limit(), 0)} you ask for.`;
  showLabels(label, probabilities);
  announce(abstains ? `${UNCERTAIN}, likeliest ${label}, ${percent(score)}` : `${label}, ${percent(score)} sure`, 900);
}

function showLabels(label, probabilities) {
  const rows = Object.entries(probabilities).map(([name, share]) => ({ name, share, figure: percent(share), chosen: name === label }));
  const many = rows.length > MOST_BARS;
  if (many) rows.sort((one, other) => other.share - one.share);
  showBars(at("bars"), many && !single.allLabels ? rows.slice(0, MOST_BARS) : rows, limit());
  const more = at("more-labels");
  more.hidden = !many;
  more.setAttribute("aria-expanded", String(single.allLabels));
  more.textContent = single.allLabels ? "Show the likeliest only" : `Show all ${count(rows.length)} labels`;
}

function thresholdChanged() {
  const asked = limit();
  at("threshold-value").textContent = percent(asked, 0);
  at("threshold").setAttribute("aria-valuetext", asked ? percent(asked, 0) : "always answer");
  at("threshold-hint").textContent = asked ? `Below that the answer is “${UNCERTAIN}”.` : "At 0% the model always answers.";
  at("file-threshold").hidden = !asked;
  at("file-threshold").textContent = `Rows of which the model is less than ${percent(asked, 0)} sure get the label “${UNCERTAIN}”.`;
  showAnswer();
}

// --- Which words decided ---

const why = { controller: null, shown: null };

function hideExplanation() {
  why.controller?.abort();
  why.controller = null;
  why.shown = null;
  at("why").hidden = true;
  explaining(false);
}

function explaining(busy) {
  at("explain").textContent = busy ? "Weighing words…" : "Which words decided?";
  at("explain").setAttribute("aria-busy", String(busy));
  at("why-waiting").hidden = !busy;
}

/** Ask why, of the label that the model gives or of another one. */
async function explain(label = null) {
  const text = readText();
  if (!text.trim()) return demandText();
  if (single.answered?.text !== text) judge({ deliberate: true });
  else keepLatest();
  why.controller?.abort();
  const { signal } = (why.controller = new AbortController());
  openExplanation();
  try {
    const onWait = (seconds) => complain("why-problem", waitingLine(seconds), { waiting: true });
    const answer = await call("explain", { body: label === null ? { text } : { text, label }, signal, onWait });
    if (signal.aborted) return;
    why.shown = { answer, characters: Array.from(text) };
    complain("why-problem");
    showExplanation();
  } catch (error) {
    if (signal.aborted) return;
    complain("why-problem", sayProblem(error));
  }
  explaining(false);
}

function openExplanation() {
  complain("why-problem");
  const first = at("why").hidden;
  at("why").hidden = false;
  if (first || !why.shown) {
    at("why-content").hidden = true;
    at("why-options").hidden = true;
  }
  explaining(true);
  if (first) at("why").scrollIntoView({ block: "nearest" });
}

function showExplanation() {
  const { answer, characters } = why.shown;
  at("why-content").hidden = false;
  at("why-options").hidden = false;
  at("legend-for").textContent = answer.label;
  const pieces = cut(characters, answer.words);
  at("legend-unread").hidden = !pieces.some((piece) => piece.kind === "unread");
  at("marked").replaceChildren(...pieces.map((piece) => markOf(piece, answer.label)));
  at("for-title").textContent = `Strongest for ${answer.label}`;
  at("against-title").textContent = `Strongest against ${answer.label}`;
  rank(at("for-words"), answer.words, 1);
  rank(at("against-words"), answer.words, -1);
  at("sentences-view").replaceChildren(...sentenceItems(characters, answer.sentences));
  at("method").textContent = `Figures are in log-odds of “${answer.label}”, found by ${answer.method.replaceAll("_", " ")}.`;
  chooseLabel(answer.label);
  showView();
  at("why").scrollIntoView({ block: "nearest" });
  const strongest = [...answer.words].sort((one, other) => Math.abs(other.contribution) - Math.abs(one.contribution)).slice(0, 3);
  announce(`Strongest words: ${strongest.map((word) => `${word.text} ${signed(word.contribution)}`).join(", ")}`);
}

const greatest = (parts) => parts.reduce((most, part) => Math.max(most, Math.abs(part.contribution)), 0);

function levelOf(contribution, most) {
  const share = most ? Math.abs(contribution) / most : 0;
  if (share < LEAST_SHARE) return 0;
  return 1 + (share > 0.45) + (share > 0.75);
}

/** Cut a text into words with their weight and what stands between; places count code points, as the server does. */
function cut(characters, words) {
  const most = greatest(words);
  const pieces = [];
  let place = 0;
  for (const word of words) {
    pieces.push(...between(characters.slice(place, word.start).join("")));
    pieces.push({ text: characters.slice(word.start, word.end).join(""), kind: "word", level: levelOf(word.contribution, most), word });
    place = word.end;
  }
  pieces.push(...between(characters.slice(place).join("")));
  return pieces;
}

/** What stands between two words is unread where it holds letters or digits, but for HTML tags, which the model never sees. */
function between(text) {
  if (!text) return [];
  if (!/[\p{L}\p{N}]/u.test(text.replace(/<[^>]*>/g, ""))) return [{ text, kind: "plain" }];
  const [, before, unread, after] = /^(\s*)(.*?)(\s*)$/s.exec(text);
  return [
    { text: before, kind: "plain" },
    { text: unread, kind: "unread" },
    { text: after, kind: "plain" },
  ];
}

function markOf({ text, kind, level, word }, label) {
  if (kind === "unread") return make("span", "unread", text);
  if (!level) return document.createTextNode(text);
  const mark = make("mark", `${word.contribution > 0 ? "for" : "against"} level${level}`, text);
  mark.title = `${signed(word.contribution)}: speaks ${word.contribution > 0 ? "for" : "against"} ${label}`;
  return mark;
}

function rank(list, words, sign) {
  const most = greatest(words);
  const strongest = words
    .filter((word) => word.contribution * sign > 0 && levelOf(word.contribution, most))
    .sort((one, other) => (other.contribution - one.contribution) * sign)
    .slice(0, RANKED);
  const items = strongest.map((word) => {
    const size = make("span", "size");
    size.style.setProperty("--share", `${(100 * Math.abs(word.contribution)) / most}%`);
    size.setAttribute("aria-hidden", "true");
    return make("li", "", make("span", "word", word.text), size, make("span", "figure", signed(word.contribution)));
  });
  list.replaceChildren(...(items.length ? items : [make("li", "none", "No word of weight.")]));
}

function sentenceItems(characters, sentences) {
  const most = greatest(sentences);
  return sentences.map(({ start, end, contribution }) => {
    const level = levelOf(contribution, most);
    const text = make("span", "", characters.slice(start, end).join(""));
    text.dir = "auto";
    const tone = level ? `${contribution > 0 ? "for" : "against"} level${level}` : "";
    return make("li", tone, make("span", "figure", signed(contribution)), text);
  });
}

function showView() {
  const sentences = at("view-sentences").checked;
  at("words-view").hidden = sentences;
  at("sentences-view").hidden = !sentences;
  at("why-title").textContent = sentences ? "Which sentences decided" : "Which words decided";
}

function chooseLabel(label) {
  const labels = about.labels.includes(label) ? about.labels : [label];
  at("why-label-box").hidden = labels.length < 2;
  at("why-label").replaceChildren(...labels.map((name) => new Option(name, name, false, name === label)));
}

// --- What was asked before ---

const past = { entries: [] };

function loadHistory() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(HISTORY_KEY) ?? "[]");
    const isEntry = (entry) => typeof entry?.text === "string" && typeof entry.label === "string" && typeof entry.score === "number";
    past.entries = Array.isArray(kept) ? kept.filter(isEntry) : [];
  } catch {
    past.entries = [];
  }
  showHistory();
}

/** While somebody types, one entry follows the text; it stays as it is once they ask by a button. */
function remember(text, { label, score }, deliberate) {
  const [latest] = past.entries;
  const follows = latest?.draft && samePiece(latest.text, text);
  const entries = past.entries.filter((entry, place) => !(follows && place === 0) && entry.text !== text);
  const kept = text.length > MOST_KEPT ? text.slice(0, MOST_KEPT) : text;
  past.entries = [{ text: kept, label: score < limit() ? UNCERTAIN : label, score, draft: !deliberate }, ...entries].slice(0, MOST_HISTORY);
  keepHistory();
}

function keepLatest() {
  if (past.entries[0]) past.entries[0].draft = false;
}

function samePiece(one, other) {
  const length = Math.min(one.length, other.length, 20);
  return one.slice(0, length) === other.slice(0, length);
}

function keepHistory() {
  try {
    sessionStorage.setItem(HISTORY_KEY, JSON.stringify(past.entries));
  } catch {
    // Full or forbidden: it lasts as long as the page.
  }
  showHistory();
}

function showHistory() {
  const items = past.entries.map((entry) => {
    const name = make("span", "", entry.label);
    name.dir = "auto";
    const snippet = make("span", "snippet", entry.text.slice(0, 200));
    snippet.dir = "auto";
    const button = make("button", "", make("span", "label", name, make("span", "figure", percent(entry.score))), snippet);
    button.type = "button";
    button.addEventListener("click", () => useText(entry.text));
    return make("li", "", button);
  });
  at("history").replaceChildren(...items);
  at("no-history").hidden = items.length > 0;
  at("forget").hidden = items.length === 0;
}

function forget() {
  past.entries = [];
  keepHistory();
  at("text").focus();
  announce("History cleared");
}

function useText(text) {
  keepLatest();
  at("text").value = text;
  textChanged();
  judge({ deliberate: true });
  at("text-title").scrollIntoView({ block: "nearest" });
}

// --- A whole file ---

const file = { name: "", content: null, raw: [], table: null, delimiter: "", job: null };

async function openFile(chosen) {
  complain("file-problem");
  try {
    if (chosen.size > MOST_BYTES) throw new csv.TableError("Files of up to 200 MB can be read here; use “matinee score” for larger ones.");
    const content = csv.decode(new Uint8Array(await chosen.arrayBuffer()));
    const delimiter = csv.guessDelimiter(content.text);
    const raw = csv.parse(content.text, delimiter);
    if (!raw.length) throw new csv.TableError("This file is empty.");
    Object.assign(file, { name: chosen.name, content, delimiter, raw, job: null });
    at("header").checked = csv.guessHeader(raw);
    readTable();
  } catch (error) {
    complain("file-problem", error.name === "NotReadableError" ? "The browser cannot read this file." : sayProblem(error));
  }
}

/** Read the rows anew: the first is a row of names, or a text like the others. */
function readTable() {
  const header = at("header").checked;
  file.table = csv.asTable(file.raw, header);
  const chosen = csv.guessColumn(file.raw, header);
  at("column").replaceChildren(...file.table.names.map((name, place) => new Option(shorten(name, 40), place, false, place === chosen)));
  at("file-name").textContent = file.name;
  const encoding = file.content.encoding === "UTF-8" ? "" : `, read as ${file.content.encoding}`;
  at("file-facts").textContent = `${plural(file.table.rows.length, "row")}${encoding}`;
  const { ragged } = file.table;
  at("file-warning").hidden = !ragged;
  at("file-warning").textContent = `${plural(ragged, "row")} ${ragged === 1 ? "has" : "have"} more cells than the first one: see that texts with commas stand in quotes.`;
  at("table").hidden = false;
  at("drop").hidden = true;
  showPreview();
  showStage();
}

const shorten = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function showPreview() {
  const chosen = Number(at("column").value);
  const row = (tag, cells, most) => make("tr", "", ...cells.map((cell, place) => make(tag, place === chosen ? "chosen" : "", shorten(cell, most))));
  const head = row("th", file.table.names, 40);
  for (const cell of head.children) cell.scope = "col";
  const body = file.table.rows.slice(0, PREVIEW_ROWS).map((cells) => row("td", cells, 140));
  at("preview").replaceChildren(make("thead", "", head), make("tbody", "", ...body));
}

/** Show what can be done now: choose, watch and cancel, or take the result. */
function showStage() {
  const { job, table } = file;
  const running = Boolean(job?.controller);
  const finished = job && job.position === table.rows.length;
  at("table-options").hidden = Boolean(job);
  at("running").hidden = !job;
  at("other-file").hidden = running;
  at("start").hidden = Boolean(job);
  at("start").disabled = !table.rows.length;
  at("start").textContent = `Score ${plural(table.rows.length, "row")}`;
  at("cancel").hidden = !running;
  at("download").hidden = running || !job?.position;
  at("download").textContent = finished ? "Download the result" : `Download ${plural(job?.position ?? 0, "row")}`;
  at("go-on").hidden = running || !job || finished;
}

function closeFile() {
  Object.assign(file, { name: "", content: null, raw: [], table: null, job: null });
  complain("file-problem");
  at("table").hidden = true;
  at("drop").hidden = false;
  at("file").focus();
}

function startJob() {
  file.job = { position: 0, results: [], counts: new Map(), refused: 0, scored: 0, limit: limit(), column: Number(at("column").value), controller: null };
  runJob();
}

/** Score what is left of the file. */
async function runJob() {
  const { job, table } = file;
  job.controller = new AbortController();
  job.began = { time: performance.now(), position: job.position };
  complain("file-problem");
  showStage();
  at("cancel").focus();
  announce(`Scoring ${plural(table.rows.length, "row")}`);
  try {
    while (job.position < table.rows.length) {
      showProgress();
      const end = Math.min(job.position + BATCH, table.rows.length);
      const places = Array.from({ length: end - job.position }, (_, step) => job.position + step);
      await scoreRows(places.filter((place) => table.rows[place][job.column].trim()));
      job.position = end;
    }
  } catch (error) {
    if (error.name !== "AbortError") complain("file-problem", sayProblem(error));
  }
  job.controller = null;
  jobEnded();
}

/** Score some rows; where the server refuses them, find the one it means and leave that out. */
async function scoreRows(places) {
  const { job, table } = file;
  if (!places.length) return;
  const body = { texts: places.map((place) => wellFormed(table.rows[place][job.column])) };
  if (job.limit) body.abstain_below = job.limit;
  const onWait = (seconds) => (at("progress-text").textContent = waitingLine(seconds));
  try {
    const { predictions } = await call("predict", { body, signal: job.controller.signal, tries: 100, onWait });
    predictions.forEach((prediction, number) => keepResult(places[number], prediction));
  } catch (error) {
    if (!error.refused || (job.refused >= MOST_REFUSED && !job.scored)) throw error;
    if (places.length === 1) {
      job.refused += 1;
      job.results[places[0]] = { error: error.message };
      return;
    }
    const middle = Math.ceil(places.length / 2);
    await scoreRows(places.slice(0, middle));
    await scoreRows(places.slice(middle));
  }
}

function keepResult(place, { label, score }) {
  const { job } = file;
  // A row of a batch that was cut short is scored twice.
  if (!job.results[place]) {
    job.scored += 1;
    job.counts.set(label, (job.counts.get(label) ?? 0) + 1);
  }
  job.results[place] = { label, score };
}

function showProgress() {
  const { job, table } = file;
  at("progress").max = table.rows.length;
  at("progress").value = job.position;
  at("progress-text").textContent = `${count(job.position)} of ${plural(table.rows.length, "row")}${timeLeft()}`;
  showCounts();
}

function timeLeft() {
  const { job, table } = file;
  const [done, seconds] = [job.position - job.began.position, (performance.now() - job.began.time) / 1000];
  if (!done || seconds < 2) return "";
  const left = ((table.rows.length - job.position) * seconds) / done;
  if (left < 60) return left < 1 ? "" : `, about ${plural(Math.ceil(left), "second")} left`;
  return `, about ${plural(Math.ceil(left / 60), "minute")} left`;
}

function showCounts() {
  const { counts, scored } = file.job;
  const names = [...counts.keys()].sort((one, other) => (one === UNCERTAIN) - (other === UNCERTAIN) || one.localeCompare(other));
  const rows = names.map((name) => {
    const number = counts.get(name);
    return { name, share: number / scored, figure: `${count(number)} (${percent(number / scored)})`, chosen: name !== UNCERTAIN };
  });
  const shown = rows.length > MOST_BARS ? rows.sort((one, other) => other.share - one.share).slice(0, MOST_BARS) : rows;
  showBars(at("counts"), shown);
}

function jobEnded() {
  const { job, table } = file;
  showProgress();
  showStage();
  const finished = job.position === table.rows.length;
  const parts = [finished ? `Done: ${plural(table.rows.length, "row")}` : `Stopped after ${count(job.position)} of ${plural(table.rows.length, "row")}`];
  const blank = job.position - table.rows.slice(0, job.position).filter((row) => row[job.column].trim()).length;
  if (blank) parts.push(`${count(blank)} without a text`);
  if (job.refused) parts.push(`${count(job.refused)} refused by the server: see the column “error”`);
  at("progress-text").textContent = `${parts.join("; ")}.`;
  announce(at("progress-text").textContent);
  at(at("download").hidden ? "go-on" : "download").focus();
}

function download() {
  const { job, table, content, delimiter } = file;
  const columns = job.refused ? ["label", "score", "error"] : ["label", "score"];
  const head = [...table.names, ...csv.freeNames(columns, table.names)];
  const rows = table.rows.slice(0, job.position).map((cells, place) => {
    const { label = "", score = "", error = "" } = job.results[place] ?? {};
    const added = [label, score === "" ? "" : Number(score.toFixed(6)), error];
    return [...cells, ...added.slice(0, columns.length)];
  });
  // A spreadsheet takes a file without the mark for one in its own old encoding.
  const mark = content.marked || content.encoding !== "UTF-8" ? "\ufeff" : "";
  save(new Blob([mark, csv.format([head, ...rows], delimiter)], { type: "text/csv;charset=utf-8" }), csv.downloadName(file.name));
}

const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

/** A file dropped beside the box must not replace the page. */
function dragOver(event) {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  const inside = !at("drop").hidden && at("drop").contains(event.target);
  event.dataTransfer.dropEffect = inside ? "copy" : "none";
  at("drop").classList.toggle("over", inside);
}

function dropped(event) {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  at("drop").classList.remove("over");
  const inside = !at("drop").hidden && at("drop").contains(event.target);
  if (!inside) return;
  if (event.dataTransfer.files.length > 1) complain("file-problem", "Drop one file at a time.");
  else if (event.dataTransfer.files.length) openFile(event.dataTransfer.files[0]);
}

// --- About the model ---

const about = { labels: [] };

async function loadModel() {
  try {
    showModel(await call("model"));
  } catch (error) {
    const message = sayProblem(error);
    at("model-note").textContent = "";
    complain("about-problem", `What this model is could not be read. ${message}`);
  }
}

function showModel(model) {
  about.labels = model.labels ?? [];
  document.title = `${model.name} · matinee`;
  at("model-note").replaceChildren(...noteOf(model));
  at("facts").replaceChildren(...factsOf(model).flatMap(([name, value, beside]) => fact(name, value, beside)));
  at("report-item").hidden = at("report-note").hidden = !model.report;
  at("card-box").hidden = !model.card;
  at("card").textContent = model.card ?? "";
  at("version").textContent = `matinee ${model.version}`;
}

const interval = ({ low, high }) => (low == null || high == null ? "" : `95% interval ${percent(low)} to ${percent(high)}`);

function noteOf({ name, labels, metrics }) {
  const parts = [make("b", "", name), ` sorts texts into ${listed(labels)}. `];
  if (!metrics?.accuracy) return [...parts, "How often it is right was not measured."];
  const range = interval(metrics.accuracy);
  parts.push(`Of ${plural(metrics.n, "text")} it had never seen, it got `, make("b", "", percent(metrics.accuracy.value)), " right");
  return [...parts, range ? ` (${range}).` : "."];
}

function listed(labels) {
  if (labels.length > 4) return `${count(labels.length)} labels`;
  const quoted = labels.map((label) => `“${label}”`);
  return quoted.length > 1 ? `${quoted.slice(0, -1).join(", ")} and ${quoted.at(-1)}` : quoted.join("");
}

function factsOf({ labels, encoder, backend, precision, max_length: length, metrics }) {
  const facts = [];
  if (metrics?.accuracy) facts.push(["Accuracy", percent(metrics.accuracy.value), interval(metrics.accuracy)]);
  if (metrics?.f1) facts.push(["F1", metrics.f1.value.toFixed(3), rangeOf(metrics.f1)]);
  facts.push(["Labels", labels.length > 6 ? count(labels.length) : labels.join(", ")], ["Encoder", encoder], ["Computed by", backend, precision]);
  if (length) facts.push(["Reads at once", plural(length, "token")]);
  return facts.filter(([, value]) => value);
}

const rangeOf = ({ low, high }) => (low == null || high == null ? "" : `95% interval ${low.toFixed(3)} to ${high.toFixed(3)}`);

function fact(name, value, beside) {
  const content = make("dd", "", value);
  if (beside) content.append(make("span", "beside", beside));
  return [make("div", "", make("dt", "", name), content)];
}

/** A browser sends no key with a link: with a key, the report is fetched and handed over as a file. */
async function openReport(event) {
  if (!access.key) return;
  event.preventDefault();
  complain("about-problem");
  try {
    save(await (await request("report")).blob(), "report.html");
  } catch (error) {
    complain("about-problem", sayProblem(error));
  }
}

// --- Who listens to what ---

function listenToText() {
  at("text").addEventListener("input", (event) => event.isComposing || textChanged());
  at("text").addEventListener("compositionend", textChanged);
  at("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) judge({ deliberate: true });
  });
  at("judge").addEventListener("click", () => judge({ deliberate: true }));
  at("explain").addEventListener("click", () => at("explain").getAttribute("aria-busy") === "true" || explain());
  at("clear").addEventListener("click", () => {
    at("text").value = "";
    textChanged();
    at("text").focus();
  });
  at("threshold").addEventListener("input", thresholdChanged);
  at("more-labels").addEventListener("click", () => {
    single.allLabels = !single.allLabels;
    showAnswer();
  });
  at("why-label").addEventListener("change", () => explain(at("why-label").value));
  for (const id of ["view-words", "view-sentences"]) at(id).addEventListener("change", showView);
  at("forget").addEventListener("click", forget);
}

function listenToFile() {
  at("file").addEventListener("change", () => {
    const [chosen] = at("file").files;
    if (chosen) openFile(chosen).finally(() => (at("file").value = ""));
  });
  addEventListener("dragover", dragOver);
  addEventListener("dragleave", (event) => event.relatedTarget || at("drop").classList.remove("over"));
  addEventListener("drop", dropped);
  at("column").addEventListener("change", showPreview);
  at("header").addEventListener("change", readTable);
  at("start").addEventListener("click", startJob);
  at("go-on").addEventListener("click", runJob);
  at("cancel").addEventListener("click", () => file.job?.controller?.abort());
  at("download").addEventListener("click", download);
  at("other-file").addEventListener("click", closeFile);
  addEventListener("beforeunload", (event) => {
    if (file.job?.controller) event.preventDefault();
  });
}

function start() {
  const samples = SAMPLES.map(([name, text]) => {
    const button = make("button", "", name);
    button.type = "button";
    button.addEventListener("click", () => useText(text));
    return button;
  });
  at("samples").replaceChildren(...samples);
  listenToText();
  listenToFile();
  for (const id of ["report", "report-again"]) at(id).addEventListener("click", openReport);
  loadHistory();
  thresholdChanged();
  // Some browsers put a text back that was there before a reload.
  if (at("text").value) textChanged();
  loadModel();
}

start();
