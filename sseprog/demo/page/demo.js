// The page: files in, cards out. The list of jobs is asked for; each running job has its stream.

import { Card } from "./card.js";
import { Uploads } from "./uploads.js";
import { bytes } from "./words.js";

const BUSY = 1000; // ms between two looks at the list, while something is under way
const IDLE = 3000;

const find = (id) => document.getElementById(id);
const form = find("drop");
const cards = new Map();
const previews = new Map();
let timer;
let looking;
let known = false;

const uploads = new Uploads(find("cards"), async (jobId, preview) => {
  previews.set(jobId, preview);
  await look();
});

// One look at a time; who asks during one gets the next.
async function look() {
  clearTimeout(timer);
  await looking;
  looking = lookNow();
  await looking;
}

async function lookNow() {
  clearTimeout(timer);
  try {
    const answer = await fetch("/api/videos", { signal: AbortSignal.timeout(9000) });
    if (!answer.ok) throw Error(answer.status);
    draw(await answer.json());
    put(find("link"), "");
  } catch {
    put(find("link"), "The demo's server does not answer. Trying again…");
  }
  const busy = [...cards.values()].some((card) => !card.ended);
  clearTimeout(timer);
  timer = setTimeout(look, busy ? BUSY : IDLE);
}

function draw({ videos, max_upload: limit }) {
  uploads.limit = limit;
  put(find("limit"), bytes(limit).replace("2.1 GB", "2 GB"));
  const listed = new Set(videos.map(({ job }) => job.job_id));
  for (const [id, card] of cards)
    if (!listed.has(id)) {
      card.remove();
      cards.delete(id);
    }
  for (const video of videos.toReversed()) {
    const id = video.job.job_id;
    if (cards.has(id)) {
      cards.get(id).show(video.job);
      continue;
    }
    if (uploads.covers(video)) continue;
    const card = new Card(video, { preview: previews.get(id), onEnd: ended });
    cards.set(id, card);
    find("cards").prepend(card.node);
    uploads.land(id, card.node);
    card.show(video.job); // now that it is in the page, it may have a stream
  }
  known = true;
  sum();
}

function ended(card) {
  if (known && card.ended) {
    const words = { completed: "is done", failed: "failed", cancelled: "was cancelled", lost: "was lost" };
    put(find("said"), `${card.video.name} ${words[card.job.status]}`);
  }
  sum();
  if (known) look(); // the next in the queue starts
}

function sum() {
  const all = [...cards.values()];
  const running = all.filter(({ job, ended }) => !ended && job.status !== "pending");
  const count = (number, word) => number && `${number} ${word}`;
  const texts = [
    count(running.length, "running"),
    count(all.filter(({ job }) => job.status === "pending").length, "waiting"),
    count(all.filter(({ job }) => job.status === "completed").length, "done"),
  ];
  put(find("count"), texts.filter(Boolean).join(" · "));
  find("empty").hidden = find("cards").children.length > 0 || !known;
  const percent = running[0]?.job.progress;
  document.title = percent == null ? "sseprog demo" : `(${Math.floor(percent)}%) sseprog demo`;
}

function put(node, text) {
  if (node.textContent !== text) node.textContent = text; // a live region is read out when touched
}

function ladder() {
  const chosen = new FormData(form).getAll("ladder");
  put(find("problem"), chosen.length ? "" : "Choose at least one size first.");
  return chosen;
}

function send(files) {
  const rungs = ladder();
  if (rungs.length && files.length) uploads.add(files, rungs);
  find("empty").hidden = find("cards").children.length > 0;
}

find("file").onchange = ({ target }) => {
  send([...target.files]);
  target.value = ""; // the same file may be chosen again
};

find("test-clip").onclick = async ({ target }) => {
  const rungs = ladder();
  if (!rungs.length || target.ariaDisabled === "true") return;
  target.ariaDisabled = true; // disabled, it would lose the focus
  try {
    const query = new URLSearchParams(rungs.map((rung) => ["ladder", rung]));
    const answer = await fetch(`/api/test-clips?${query}`, { method: "POST" });
    if (!answer.ok) throw Error((await answer.json()).error);
    await look();
  } catch (error) {
    put(find("problem"), `No test clip was made: ${error.message}`);
  } finally {
    target.ariaDisabled = false;
  }
};

form.onsubmit = (event) => event.preventDefault();
form.onchange = () => find("problem").textContent && ladder();

// Files may be dropped anywhere: a browser would leave the page for one that misses.
const bringsFiles = (event) => event.dataTransfer?.types.includes("Files");
addEventListener("dragover", (event) => {
  if (!bringsFiles(event)) return;
  event.preventDefault();
  form.classList.add("is-over");
});
addEventListener("dragleave", (event) => event.relatedTarget ?? form.classList.remove("is-over"));
addEventListener("drop", (event) => {
  if (!bringsFiles(event)) return;
  event.preventDefault();
  form.classList.remove("is-over");
  send([...event.dataTransfer.files]);
});

for (const name of ["visibilitychange", "pageshow", "online"]) addEventListener(name, look);
setInterval(sum, 1000); // the title
look();
