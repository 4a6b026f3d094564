// Send files, one after another: each takes one of the browser's six connections.

import { head } from "./card.js";
import { make, takeAway } from "./element.js";
import { bytes, span } from "./words.js";

const PREVIEW_WIDTH = 480;
const PREVIEW_PATIENCE = 4000; // ms

export class Uploads {
  #waiting = [];
  #current;
  #landed = new Map();

  // `onStarted(jobId, preview)` is called with the job that became of a file.
  constructor(list, onStarted) {
    this.list = list;
    this.onStarted = onStarted;
    this.limit = Infinity; // bytes
    addEventListener("beforeunload", (event) => this.#current && event.preventDefault());
  }

  add(files, ladder) {
    for (const file of files) {
      const upload = new Upload(file, ladder, this.limit, () => this.#next());
      this.list.prepend(upload.node);
      this.#waiting.push(upload);
    }
    if (!this.#current) this.#next();
  }

  // Whether a video of the list may be the one that is being sent, and has a card here.
  covers({ job, size }) {
    return !this.#landed.has(job.job_id) && this.#current?.file.size === size;
  }

  // The job's own card comes now.
  land(jobId, card) {
    const upload = this.#landed.get(jobId);
    if (upload) takeAway(upload.node, card);
    this.#landed.delete(jobId);
  }

  async #next() {
    this.#waiting = this.#waiting.filter((upload) => !upload.over);
    if (this.#current && !this.#current.over) return;
    this.#current = this.#waiting.shift();
    if (!this.#current) return;
    const jobId = await this.#current.send();
    if (jobId) {
      this.#landed.set(jobId, this.#current);
      await this.onStarted(jobId, this.#current.preview);
    }
    this.#next();
  }
}

class Upload {
  over = false;
  #request;
  #sent = 0;
  #began;

  constructor(file, ladder, limit, onOver) {
    this.file = file;
    this.ladder = ladder;
    this.onOver = onOver;
    this.bar = make("progress", { max: file.size || 1, value: 0 });
    this.bar.ariaLabel = `Sending ${file.name}`;
    this.button = make("button", { type: "button", textContent: "Cancel", onclick: () => this.#stop() });
    this.node = make("li", { className: "card" }, head(file.name, "Waiting to be sent", this.button), this.bar);
    this.node.dataset.status = "pending";
    this.preview = pictureOf(file).then((address) => {
      if (address) this.node.prepend(make("img", { className: "backdrop", alt: "", src: address }));
      return address;
    });
    if (file.size > limit)
      this.#refuse(`It has ${bytes(file.size)}; at most ${bytes(limit)} can be sent.`);
  }

  // Resolve to the id of its job, or to null.
  send() {
    this.node.dataset.status = "sending";
    this.#began = performance.now();
    this.#draw();
    const query = new URLSearchParams({ name: this.file.name });
    for (const rung of this.ladder) query.append("ladder", rung);
    const request = (this.#request = new XMLHttpRequest()); // fetch can't say how much has been sent
    request.open("POST", `/api/videos?${query}`);
    request.responseType = "json";
    request.upload.onprogress = ({ loaded }) => {
      this.#sent = loaded;
      this.#draw();
    };
    return new Promise((resolve) => {
      request.onload = () => {
        this.over = true;
        if (request.status === 201) return resolve(request.response.job_id);
        this.#refuse(request.response?.error ?? `The server answered ${request.status}.`);
        resolve(null);
      };
      request.onerror = () => {
        this.#refuse("The connection broke, or the file could not be read.");
        resolve(null);
      };
      request.onabort = () => resolve(null);
      request.send(this.file);
    });
  }

  #draw() {
    const { size } = this.file;
    const seconds = (performance.now() - this.#began) / 1000;
    const left = this.#sent && seconds > 2 ? ((size - this.#sent) * seconds) / this.#sent : null;
    const texts = [`Sending ${bytes(this.#sent)} of ${bytes(size)}`, left > 1 && `about ${span(left)} left`];
    this.bar.value = this.#sent;
    this.node.querySelector(".state").textContent =
      size && this.#sent >= size ? "Sent, starting" : texts.filter(Boolean).join(" · ");
  }

  #stop() {
    this.over = true;
    this.#request?.abort();
    takeAway(this.node);
    this.onOver();
  }

  #refuse(why) {
    this.over = true;
    this.node.dataset.status = "refused";
    this.node.querySelector(".state").textContent = "Not sent";
    this.bar.replaceWith(make("p", { className: "why", textContent: why, role: "alert" }));
    this.button.textContent = "Dismiss";
  }
}

// A frame of the file itself, so that its card has a face from the start; null if the browser
// can't play it.
async function pictureOf(file) {
  if (!(await isContainer(file))) return null;
  const video = make("video", { muted: true, preload: "auto", playsInline: true });
  const source = URL.createObjectURL(file);
  try {
    return await new Promise((resolve) => {
      setTimeout(resolve, PREVIEW_PATIENCE, null);
      video.onerror = () => resolve(null);
      video.onloadeddata = () => (video.currentTime = Math.min(1, video.duration / 10 || 0));
      video.onseeked = () => draw(video).toBlob((picture) => resolve(picture && URL.createObjectURL(picture)), "image/jpeg");
      video.src = source;
    });
  } finally {
    video.removeAttribute("src");
    URL.revokeObjectURL(source);
  }
}

function draw(video) {
  const height = Math.round((PREVIEW_WIDTH * video.videoHeight) / video.videoWidth);
  const canvas = make("canvas", { width: PREVIEW_WIDTH, height });
  canvas.getContext("2d").drawImage(video, 0, 0, PREVIEW_WIDTH, height);
  return canvas;
}

// Whether it begins as MP4 or QuickTime (ftyp) or as Matroska or WebM (EBML) does: a browser would
// take a playlist in disguise as well, and load what it names.
async function isContainer(file) {
  const start = await file.slice(0, 8).arrayBuffer().catch(() => new ArrayBuffer(0));
  if (start.byteLength < 8) return false;
  const view = new DataView(start);
  return view.getUint32(0) === 0x1a45dfa3 || view.getUint32(4) === 0x66747970;
}
