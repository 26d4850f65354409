"use strict";

const $ = (id) => document.getElementById(id);
const history = [];
const LONGEST = 1600; // pixels: larger camera frames are shrunk before they are sent
let stream = null;

function shown(text) {
  $("status").textContent = text;
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

function row(cells) {
  const line = document.createElement("tr");
  for (const text of cells) {
    line.append(Object.assign(document.createElement("td"), { textContent: text }));
  }
  return line;
}

async function read(blob) {
  const headers = { "Content-Type": "application/octet-stream" };
  if ($("token").value) headers.Authorization = `Bearer ${$("token").value}`;
  const response = await fetch("v1/read", { method: "POST", headers, body: blob });
  if (response.status === 401) $("token-form").hidden = false;
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ? answer.error.detail : `status ${response.status}`);
  return answer.results[0];
}

// Draw the frames over an image or a video that is `width` x `height` pixels large where it was read.
function frame(numbers, width, height) {
  const canvas = $("frames");
  canvas.width = canvas.clientWidth * devicePixelRatio;
  canvas.height = canvas.clientHeight * devicePixelRatio;
  const pen = canvas.getContext("2d");
  const scale = canvas.width / width;
  pen.lineWidth = Math.max(2, canvas.width / 300);
  pen.font = `600 ${Math.max(14, canvas.width / 32)}px system-ui, sans-serif`;
  pen.textBaseline = "bottom";
  for (const number of numbers.filter((one) => one.box)) {
    const points = [0, 1, 2, 3].map((i) => [number.box[2 * i] * scale, number.box[2 * i + 1] * scale]);
    pen.strokeStyle = "#16c45e";
    pen.beginPath();
    points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.closePath();
    pen.stroke();
    const label = `${number.text} ${percent(number.confidence)}`;
    const size = parseFloat(pen.font.split(" ")[1]);
    const left = Math.min(...points.map(([x]) => x), canvas.width - pen.measureText(label).width - 8);
    const bottom = Math.max(Math.min(...points.map(([, y]) => y)) - pen.lineWidth, size + 8);
    pen.fillStyle = "rgba(0, 0, 0, 0.75)";
    pen.fillRect(left, bottom - size - 6, pen.measureText(label).width + 8, size + 6);
    pen.fillStyle = "#ffffff";
    pen.fillText(label, left + 4, bottom - 2);
  }
}

function list(result) {
  $("numbers").replaceChildren(
    ...result.numbers.map((n) => row([n.text, percent(n.confidence), n.candidates.slice(1).filter(Boolean).join(", ")])),
  );
  const best = result.numbers[0];
  shown(best ? `${best.text}, confidence ${percent(best.confidence)}.` : "No number found.");
}

function remember(name, result) {
  const best = result.numbers[0];
  const entry = [new Date().toISOString(), name, best ? best.text : "", best ? best.confidence.toFixed(4) : ""];
  history.push(entry);
  $("history").prepend(row([new Date().toLocaleTimeString(), name, entry[2] || "none", best ? percent(best.confidence) : ""]));
  while ($("history").children.length > 100) $("history").lastChild.remove();
  $("download").disabled = false;
}

async function readFile(file) {
  stop();
  const image = $("image");
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(file);
  image.hidden = false;
  $("hint").hidden = true;
  frame([], 1, 1);
  shown(`Reading ${file.name || "the image"} ...`);
  try {
    const [result] = await Promise.all([read(file), image.decode().catch(() => null)]);
    list(result);
    frame(result.numbers, image.naturalWidth || 1, image.naturalHeight || 1);
    remember(file.name || "pasted image", result);
  } catch (error) {
    $("numbers").replaceChildren();
    shown(`Not read: ${error.message}`);
  }
}

async function readFiles(files) {
  for (const file of files) await readFile(file);
}

function stop() {
  if (!stream) return;
  for (const track of stream.getTracks()) track.stop();
  stream = null;
  $("video").hidden = true;
  $("speed").textContent = "";
  $("camera").textContent = "Start camera";
  $("camera").setAttribute("aria-pressed", "false");
}

async function start() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    shown(`The camera cannot be used: ${error.message}`);
    return;
  }
  const video = $("video");
  video.srcObject = stream;
  $("image").hidden = $("hint").hidden = true;
  video.hidden = false;
  $("camera").textContent = "Stop camera";
  $("camera").setAttribute("aria-pressed", "true");
  await video.play();
  await watch(video, stream);
}

// Read one frame at a time: the next once the previous one has been read.
async function watch(video, mine) {
  const shot = document.createElement("canvas");
  const times = [];
  let last = null; // what the page says about the previous frame; null after an error
  while (stream === mine) {
    const scale = Math.min(1, LONGEST / Math.max(video.videoWidth, video.videoHeight));
    shot.width = video.videoWidth * scale;
    shot.height = video.videoHeight * scale;
    shot.getContext("2d").drawImage(video, 0, 0, shot.width, shot.height);
    const blob = await new Promise((done) => shot.toBlob(done, "image/jpeg", 0.9));
    try {
      const result = await read(blob);
      if (stream !== mine) return;
      frame(result.numbers, shot.width, shot.height);
      const text = result.numbers.map((n) => n.text).join(" ");
      if (text !== last) {
        list(result);
        if (text) remember("camera", result);
        last = text;
      }
    } catch (error) {
      shown(`Not read: ${error.message}`);
      last = null;
      await new Promise((done) => setTimeout(done, 1000));
    }
    times.push(performance.now());
    while (times.length > 11) times.shift();
    if (times.length > 1) {
      const rate = (1000 * (times.length - 1)) / (times.at(-1) - times[0]);
      $("speed").textContent = `${rate.toFixed(1)} frames a second`;
    }
  }
}

function download() {
  const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
  const lines = [["time", "image", "number", "confidence"], ...history].map((one) => one.map(quoted).join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
  link.download = "numbers.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

$("token-form").addEventListener("submit", (event) => event.preventDefault());
$("files").addEventListener("change", (event) => readFiles(event.target.files));
$("camera").addEventListener("click", () => (stream ? stop() : start()));
$("download").addEventListener("click", download);
$("stage").addEventListener("dragover", (event) => {
  event.preventDefault();
  $("stage").classList.add("over");
});
$("stage").addEventListener("dragleave", () => $("stage").classList.remove("over"));
$("stage").addEventListener("drop", (event) => {
  event.preventDefault();
  $("stage").classList.remove("over");
  readFiles(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => readFiles(event.clipboardData.files));
