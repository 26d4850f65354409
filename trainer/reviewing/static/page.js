"use strict";

const $ = (id) => document.getElementById(id);
const PAGE = Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => byte.toString(16)).join("");
const AHEAD = 2; // rows that are loaded before they are shown
const MOST_UNDONE = 50; // answers that can be undone, whose images are kept
const KINDS = { none: "no number", unreadable: "unreadable", withdrawn: "withdrawn" };
const ahead = []; // rows with their images, to be shown next
const answered = []; // rows that this page has answered, the last one last
const skipped = new Set();
let shown = null; // the row on the page
let refused = null; // an answer that was not stored, since others had answered
let busy = false;
let filling = null;

function say(text) {
  $("status").textContent = text;
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

function answerText(one) {
  return KINDS[one.kind] || one.text;
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if ($("token").value) headers.Authorization = `Bearer ${$("token").value}`;
  const response = await fetch(path, { ...options, headers });
  if (response.status === 401) $("token-form").hidden = false;
  return response;
}

async function asJson(response) {
  const body = await response.json();
  if (!response.ok) {
    const error = new Error(body.error ? body.error.detail : `status ${response.status}`);
    throw Object.assign(error, { status: response.status, row: body.error && body.error.row });
  }
  return body;
}

// Load the image of a row, or the reason why that failed.
async function withImage(row, view) {
  const response = await ask(`v1/rows/${row.row}/${view}`);
  if (response.ok) {
    const size = response.headers.get("X-Image-Size").split(",").map(Number);
    return { url: URL.createObjectURL(await response.blob()), size };
  }
  const body = await response.json().catch(() => ({}));
  return { trouble: body.error ? body.error.detail : `status ${response.status}` };
}

// One at a time, or two calls would load the same row.
function fill() {
  filling ??= load().finally(() => (filling = null));
  return filling;
}

async function load() {
  while (ahead.length < AHEAD) {
    const held = [...ahead.map((one) => one.row.row), ...(shown ? [shown.row.row] : []), ...skipped];
    const query = new URLSearchParams([["page", PAGE], ...held.map((number) => ["not", number])]);
    const { row } = await asJson(await ask(`v1/next?${query}`));
    if (!row) return;
    const cut = await withImage(row, "cut");
    if (![shown, ...ahead].some((one) => one && one.row.row === row.row)) ahead.push({ row, cut });
  }
}

function showImage(loaded, whole) {
  const image = $("image");
  image.hidden = !loaded.url;
  $("no-image").hidden = Boolean(loaded.url);
  if (loaded.url) image.src = loaded.url;
  else $("no-image").textContent = `This image cannot be shown: ${loaded.trouble}`;
  image.alt = whole ? "the whole image" : "the number and its surroundings";
  $("view").setAttribute("aria-pressed", String(whole));
  $("figure").classList.toggle("drawing", whole && Boolean(loaded.url) && shown.row.has_box);
  showDrawn();
}

// Return the position of the whole image in the figure: its left and top edge, and CSS pixels per image pixel.
function placement() {
  const figure = $("figure").getBoundingClientRect();
  const [width, height] = shown.whole.size;
  const scale = Math.min(figure.width / width, figure.height / height);
  return { left: (figure.width - scale * width) / 2, top: (figure.height - scale * height) / 2, scale, figure };
}

function pointed(event) {
  const { left, top, scale, figure } = placement();
  const [width, height] = shown.whole.size;
  const x = (event.clientX - figure.left - left) / scale;
  const y = (event.clientY - figure.top - top) / scale;
  return [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
}

// Show the frame that was drawn: left, top, right and bottom in pixels of the image.
function showDrawn() {
  const box = shown && shown.drawn;
  $("drawn").hidden = !box || !$("figure").classList.contains("drawing");
  if ($("drawn").hidden) return;
  const { left, top, scale } = placement();
  const style = $("drawn").style;
  [style.left, style.top] = [`${left + scale * box[0]}px`, `${top + scale * box[1]}px`];
  [style.width, style.height] = [`${scale * (box[2] - box[0])}px`, `${scale * (box[3] - box[1])}px`];
}

function candidate(text, index) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(Object.assign(document.createElement("kbd"), { textContent: index + 1 }), ` ${text}`);
  button.addEventListener("click", () => give("number", text));
  return button;
}

function display(one) {
  shown = one;
  if (one) one.drawn = one.from = null;
  refused = null;
  $("meanwhile").hidden = true;
  $("form").hidden = !one;
  $("text").value = "";
  $("box-wrong").checked = false;
  if (!one) {
    showImage({ trouble: "" }, false);
    $("no-image").textContent = skipped.size ? "Only skipped rows are left: reload the page to see them." : "Everything is answered.";
    $("about").textContent = "";
    say("Done.");
    return;
  }
  const { row } = one;
  showImage(one.cut, false);
  $("question").textContent = row.has_box ? "Which number is framed?" : "Which number does the image show?";
  $("candidates").replaceChildren(...row.candidates.map(candidate));
  $("box-wrong").parentElement.hidden = !row.has_box;
  const others = row.others ? `, ${row.others} more numbers in the image` : "";
  const read = row.shows_none ? `no number found, best guess ${row.text || "none"}` : `read as ${row.text || "no number"}`;
  $("about").textContent = `${row.key}: ${read}, ${percent(row.confidence)}${others}`;
  const past = row.history;
  $("history-box").hidden = !past.length;
  $("history").replaceChildren(
    ...past.map((a) => Object.assign(document.createElement("li"), { textContent: `${answerText(a)}, ${a.reviewer || "without a name"}, ${a.time}` })),
  );
  say(`Row ${row.row}: ${read}.`);
  $("question").focus({ preventScroll: true });
}

async function advance() {
  if (!ahead.length) {
    shown = null;
    await fill();
  }
  display(ahead.shift() || null);
  fill().catch(failed);
}

function failed(error) {
  say(`Not done: ${error.message}`);
}

function showProgress(progress) {
  const { answered: done, total } = progress;
  $("bar").setAttribute("aria-valuemax", String(total));
  $("bar").setAttribute("aria-valuenow", String(done));
  $("filled").style.width = total ? `${(100 * done) / total}%` : "0";
  $("count").textContent = `${done} of ${total} answered`;
  $("sample").textContent =
    `${progress.sample_answered} of ${progress.sample_total} rows of the random sample are answered. ` +
    "Accuracy is estimated from these rows alone, weighted by how many rows each range of confidence has. " +
    `Rows below ${progress.min_confidence} are for review.`;
  $("promises").replaceChildren(
    ...progress.promises.map((one) => {
      const line = document.createElement("tr");
      line.classList.toggle("threshold", one.confidence === progress.min_confidence);
      const known = one.accuracy !== null;
      const interval = known ? `${percent(one.interval[0])} to ${percent(one.interval[1])}` : "not yet";
      const cells = [one.confidence, percent(one.coverage), one.answered, known ? percent(one.accuracy) : "not yet", interval];
      for (const text of cells) line.append(Object.assign(document.createElement("td"), { textContent: text }));
      return line;
    }),
  );
}

function post(answer) {
  const body = JSON.stringify({ ...answer, reviewer: $("reviewer").value });
  return ask("v1/answers", { method: "POST", headers: { "Content-Type": "application/json" }, body });
}

// Run one action at a time: keys that are pressed while an answer is being stored do nothing.
async function alone(action) {
  if (busy) return;
  busy = true;
  try {
    await action();
  } catch (error) {
    failed(error);
  } finally {
    busy = false;
  }
}

function meanwhile(answer, row) {
  refused = { ...answer, seen: row.history.length };
  shown.row = row;
  const last = row.history.at(-1);
  $("meanwhile-text").textContent =
    `${last.reviewer || "Somebody"} has answered this meanwhile: ${answerText(last)}. Yours, ${answerText(answer)}, is not stored.`;
  $("meanwhile").hidden = false;
  $("keep").focus();
}

function forget(one) {
  for (const loaded of [one.cut, one.whole]) if (loaded && loaded.url) URL.revokeObjectURL(loaded.url);
}

async function send(answer) {
  const current = shown;
  try {
    const stored = await asJson(await post(answer));
    current.row = stored.row;
    showProgress(stored.progress);
  } catch (error) {
    if (error.status !== 409) throw error;
    meanwhile(answer, error.row);
    return;
  }
  answered.push(current);
  if (answered.length > MOST_UNDONE) forget(answered.shift());
  $("undo").disabled = false;
  await advance();
}

function give(kind, text = "") {
  if (!shown || !$("meanwhile").hidden) return;
  const answer = { row: shown.row.row, kind, text, box_right: !$("box-wrong").checked, seen: shown.row.history.length };
  if (shown.drawn && kind === "number") {
    const [left, top, right, bottom] = shown.drawn;
    answer.box = [left, top, right, top, right, bottom, left, bottom];
  }
  alone(() => send(answer));
}

async function undo() {
  const last = answered.pop();
  $("undo").disabled = !answered.length;
  if (!last) return;
  if (shown) ahead.unshift(shown);
  const answer = { row: last.row.row, kind: "withdrawn", text: "", box_right: true, seen: last.row.history.length };
  try {
    const stored = await asJson(await post(answer));
    last.row = stored.row;
    showProgress(stored.progress);
  } catch (error) {
    if (error.status !== 409) {
      if (shown) ahead.shift();
      answered.push(last);
      $("undo").disabled = false;
      throw error;
    }
    last.row = error.row; // others have answered since: theirs stays, and the row is shown with it
  }
  display(last);
  say("Your last answer was withdrawn.");
}

async function toggleView() {
  const one = shown;
  if (!one) return;
  const whole = $("view").getAttribute("aria-pressed") !== "true";
  if (whole && !one.whole) one.whole = await withImage(one.row, "whole");
  if (one === shown) showImage(whole ? one.whole : one.cut, whole);
}

async function skip() {
  if (!shown) return;
  skipped.add(shown.row.row);
  await advance();
}

// Enter confirms that the model has read the image correctly.
function confirmRead(row) {
  if (row.shows_none || !row.candidates.length) give("none");
  else give("number", row.candidates[0]);
}

const KEYS = {
  n: () => give("none"),
  x: () => give("unreadable"),
  s: () => alone(skip),
  u: () => alone(undo),
  Backspace: () => alone(undo),
  w: () => toggleView().catch(failed),
  b: () => {
    if (!$("box-wrong").parentElement.hidden) $("box-wrong").click();
  },
};

// A wrong frame is replaced by one that the reviewer draws in the whole image.
$("box-wrong").addEventListener("change", () => {
  if (!$("box-wrong").checked) shown.drawn = null;
  const whole = $("view").getAttribute("aria-pressed") === "true";
  if ($("box-wrong").checked && !whole) toggleView().catch(failed);
  else showDrawn();
});
$("figure").addEventListener("pointerdown", (event) => {
  if (!$("figure").classList.contains("drawing") || event.button !== 0) return;
  event.preventDefault();
  $("figure").setPointerCapture(event.pointerId);
  shown.from = pointed(event);
});
$("figure").addEventListener("pointermove", (event) => {
  if (!shown || !shown.from) return;
  const [[x0, y0], [x1, y1]] = [shown.from, pointed(event)];
  shown.drawn = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
  showDrawn();
});
for (const name of ["pointerup", "pointercancel"]) {
  $("figure").addEventListener(name, () => {
    if (!shown || !shown.from) return;
    shown.from = null;
    const box = shown.drawn;
    if (box && (box[2] - box[0] < 2 || box[3] - box[1] < 2)) shown.drawn = null;
    $("box-wrong").checked = Boolean(shown.drawn);
    say(shown.drawn ? "Your frame is stored with the number." : "No frame is drawn.");
    showDrawn();
  });
}
window.addEventListener("resize", showDrawn);

// A digit that is not a candidate's key begins the typed answer, as does t; within a field, keys go to the field.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !shown || !$("meanwhile").hidden) return;
  if (event.target.closest("input:not([type=checkbox])")) {
    if (event.target.id === "text" && event.key === "Escape") {
      $("text").value = "";
      $("question").focus({ preventScroll: true });
    }
    return;
  }
  const first = $("candidates").children[Number(event.key) - 1];
  if (/^[1-3]$/.test(event.key) && first) {
    first.click();
  } else if (KEYS[event.key]) {
    KEYS[event.key]();
  } else if (event.key === "t" || /^[0-9]$/.test(event.key)) {
    $("text").focus();
    if (event.key === "t") event.preventDefault();
    return;
  } else if (event.key === "Enter" && event.target === $("question")) {
    confirmRead(shown.row);
  } else {
    return;
  }
  event.preventDefault();
});

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (text) give("number", text);
});
for (const id of ["none", "unreadable"]) $(id).addEventListener("click", () => give(id));
$("skip").addEventListener("click", () => alone(skip));
$("undo").addEventListener("click", () => alone(undo));
$("view").addEventListener("click", () => toggleView().catch(failed));
$("keep").addEventListener("click", () => alone(advance));
$("replace").addEventListener("click", () => {
  const answer = refused;
  $("meanwhile").hidden = true;
  if (answer) alone(() => send(answer));
});
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  $("token-form").hidden = true;
  alone(begin);
});
try {
  $("reviewer").value = localStorage.getItem("reviewer") || "";
  $("reviewer").addEventListener("change", () => localStorage.setItem("reviewer", $("reviewer").value));
} catch {
  // without storage, the page asks for the name again
}

async function begin() {
  showProgress(await asJson(await ask("v1/progress")));
  await advance();
}

alone(begin);
