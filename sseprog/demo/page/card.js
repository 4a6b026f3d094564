// One video of the list: waiting, live, finished, or ended otherwise.

import "/jobs/static/sseprog.js";
import { drawFacts, facts, giveFocus, make, takeAway } from "./element.js";
import { Result } from "./result.js";
import { takeStream } from "./streams.js";
import { bytes, frames, span, speed } from "./words.js";

const ENDED = ["completed", "failed", "cancelled", "lost"];

const ENDINGS = { failed: "Failed", cancelled: "Cancelled", lost: "Lost" };

const ADVICE = {
  input_invalid: "It should be a video file, such as MP4, MOV, MKV or WebM, that plays from start to end.",
  no_video: "There must be a picture in it; sound alone makes no stream.",
  disk_full: "Make room on the disk, then send it again.",
  interrupted: "Send it again to start over.",
};

export class Card {
  #view = "";
  #release;
  #asking = false;
  #body = make("div");
  #backdrop;

  // `preview` promises the address of a picture to show until the job has made its poster, or null.
  constructor(video, { preview, onEnd }) {
    this.video = video;
    this.job = video.job;
    this.onEnd = onEnd;
    this.node = make("li", { className: "card" });
    this.node.dataset.job = this.job.job_id;
    preview?.then((address) => address && !this.#backdrop && this.#setBackdrop(address));
    this.node.append(this.#body);
    this.show(video.job);
  }

  get ended() {
    return ENDED.includes(this.job.status);
  }

  // Draw a state of the list; while there is a stream, it alone says how far the job is.
  show(job) {
    if (this.ended && this.#view === "end") return;
    if (this.#view === "live" && !ENDED.includes(job.status) && !document.hidden) return;
    this.job = job;
    this.node.dataset.status = job.status;
    if (this.ended) return this.#end();
    if (job.status === "pending" || document.hidden) this.#giveUpStream();
    if (this.#view !== "live") this.#drawQuietly();
    if (job.status !== "pending" && !document.hidden) this.#goLive();
  }

  remove() {
    this.#giveUpStream();
    takeAway(this.node);
  }

  async #goLive() {
    if (this.#release || this.#asking) return;
    this.#asking = true;
    const release = await takeStream();
    this.#asking = false;
    if (!release) return;
    if (this.ended || document.hidden || !this.node.isConnected) return release();
    this.#release = release;
    this.#drawLive();
  }

  #giveUpStream() {
    this.#release?.();
    this.#release = null;
    if (this.#view === "live") this.#view = "";
  }

  #drawLive() {
    const numbers = facts();
    const live = make("job-progress", {}, numbers);
    const follow = (event) => {
      this.job = event.detail;
      this.node.dataset.status = this.job.status;
      const { speed: factor, fps, size } = this.job.details;
      drawFacts(numbers, ["Speed", speed(factor)], ["Frames", frames(fps)], ["Written", bytes(size)]);
    };
    live.setAttribute("label", this.video.name);
    live.setAttribute("cancellable", "");
    live.setAttribute("src", `/jobs/${this.job.job_id}/stream`);
    live.addEventListener("job-status", follow);
    live.addEventListener("job-progress", follow);
    for (const name of ["job-complete", "job-error"])
      live.addEventListener(name, (event) => {
        follow(event);
        this.#end();
      });
    this.#draw("live", live, followElsewhere(this.job.job_id));
  }

  // Without a stream: from the list.
  #drawQuietly() {
    const { status, stage, message, progress, details } = this.job;
    const place = details.queue_position;
    const waiting = status === "pending";
    const state = waiting ? (place ? `Waiting · number ${place} in the queue` : "Waiting to start") : stage || "Starting";
    if (this.#view !== "quiet") {
      const cancel = make("button", { type: "button", textContent: "Cancel" });
      cancel.onclick = () => this.#cancel(cancel);
      cancel.ariaLabel = `Cancel ${this.video.name}`;
      this.#draw("quiet", head(this.video.name, "", cancel), make("progress", { max: 100 }));
    }
    const bar = this.#body.querySelector("progress");
    bar.hidden = waiting;
    bar.ariaLabel = this.video.name;
    if (progress == null) bar.removeAttribute("value");
    else bar.value = progress;
    const text = join(state, !waiting && progress != null && `${Math.floor(progress)}%`, !waiting && message);
    const line = this.#body.querySelector(".state");
    if (line.textContent !== text) line.textContent = text;
  }

  async #cancel(button) {
    if (button.ariaDisabled === "true") return;
    button.ariaDisabled = true; // disabled, it would lose the focus
    button.textContent = "Cancelling…";
    try {
      const answer = await fetch(`/jobs/${this.job.job_id}/cancel`, { method: "POST" });
      if (!answer.ok && answer.status !== 409) throw Error(answer.status);
    } catch {
      button.ariaDisabled = false;
      button.textContent = "Not cancelled. Try again";
    }
    this.onEnd(this);
  }

  #end() {
    if (this.#view === "end") return;
    const { status, message, details, job_id, started_at, updated_at } = this.job;
    if (status === "completed") {
      const took = (Date.parse(updated_at) - Date.parse(started_at)) / 1000;
      const result = new Result(this.video, this.job);
      if (details.poster) this.#setBackdrop(`/media/${job_id}/${details.poster}`);
      const about = make(
        "div",
        { className: "about" },
        head(this.video.name, `Done in ${span(took)}`),
        result.rungs,
        result.facts,
        result.actions,
        followElsewhere(job_id),
      );
      this.#draw("end", make("div", { className: "result" }, result.player, about));
    } else {
      const reference = details.reference && `Reference ${details.reference}`;
      this.#draw(
        "end",
        head(this.video.name, ENDINGS[status] ?? status),
        status !== "cancelled" && make("p", { className: "why", textContent: message }),
        make("p", { className: "advice", textContent: join(ADVICE[details.code], reference) }),
      );
    }
    this.#giveUpStream();
    this.onEnd(this);
  }

  #draw(view, ...children) {
    const focused = this.#body.contains(document.activeElement);
    this.#view = view;
    this.#body.replaceChildren(...children.filter(Boolean));
    if (focused) giveFocus(this.node);
  }

  #setBackdrop(address) {
    this.#backdrop ??= this.node.insertBefore(make("img", { className: "backdrop", alt: "" }), this.node.firstChild);
    this.#backdrop.onerror = () => (this.#backdrop.hidden = true);
    this.#backdrop.src = address;
  }
}

export function head(name, state, ...actions) {
  const words = make(
    "div",
    {},
    make("h3", { className: "name", textContent: name, dir: "auto" }),
    make("p", { className: "state", textContent: state }),
  );
  return make("div", { className: "head" }, words, ...actions);
}

function followElsewhere(jobId) {
  return make(
    "details",
    { className: "follow" },
    make("summary", { textContent: "Follow it from anywhere" }),
    make("pre", {}, make("code", { textContent: `curl -N ${location.origin}/jobs/${jobId}/stream` })),
  );
}

const join = (...texts) => texts.filter(Boolean).join(" · ");
