// What a finished job has made: a player, a strip of thumbnails to seek by, and what is in it.

import { facts, make } from "./element.js";
import { bytes, clock } from "./words.js";

const HLS = "application/vnd.apple.mpegurl";
const TILES = 9; // of a wide video

export class Result {
  constructor(video, job) {
    const { details, job_id: jobId } = job;
    const address = (name) => `/media/${jobId}/${name}`;
    const rungs = details.rungs ?? [];
    const top = rungs[0] ?? { width: 16, height: 9 };
    this.ratio = Math.min(21 / 9, Math.max(4 / 3, top.width / top.height));

    this.video = make("video", { controls: true, preload: "none", playsInline: true, poster: address(details.poster) });
    this.video.ariaLabel = video.name;
    // The browser takes the first that it can play, and goes on to the next if it fails.
    if (this.video.canPlayType(HLS)) this.video.append(make("source", { src: address(details.master), type: HLS }));
    this.video.append(make("source", { src: address(details.mp4), type: "video/mp4" }));

    this.peek = make("div", { className: "peek" });
    this.peekTime = make("span", { className: "peek-time", hidden: true });
    const screen = make("div", { className: "screen" }, this.video, this.peek, this.peekTime);
    screen.style.aspectRatio = this.ratio;
    this.strip = make("div", { className: "strip", hidden: true });
    this.player = make("div", { className: "strip" }, screen, this.strip);
    this.#drawStrip(address(details.thumbnails), address(details.sprite), details.duration, video.name);

    this.rungs = make("ul", { className: "rungs" }, ...rungs.map(({ name }) => make("li", { textContent: name })));
    this.rungs.ariaLabel = "Qualities";
    this.facts = facts(
      ["Length", clock(details.duration)],
      ["Picture", rungs[0] && `${top.width} × ${top.height}`],
      ["Original", bytes(video.size)],
      ["Stream", bytes(details.size)],
    );
    const file = (name, text, properties) =>
      make("a", { className: "button", href: address(name), textContent: text, ...properties });
    this.actions = make(
      "div",
      { className: "actions" },
      file(details.mp4, "Download MP4", { download: `${video.name.replace(/\.[^.]*$/, "")}.mp4` }),
      file(details.master, "HLS playlist"),
    );
  }

  async #drawStrip(track, sprite, duration, name) {
    const answer = await fetch(track).catch(() => null);
    const cues = answer?.ok ? readCues(await answer.text()) : [];
    if (!cues.length) return;
    const sheet = {
      sprite,
      width: Math.max(...cues.map((cue) => cue.x + cue.width)),
      height: Math.max(...cues.map((cue) => cue.y + cue.height)),
    };
    const ratio = cues[0].width / cues[0].height;
    const at = (seconds) => cues.findLast((cue) => cue.start <= seconds) ?? cues[0];
    const count = Math.min(24, Math.round((TILES * 16) / 9 / ratio));

    const seek = make("input", { type: "range", min: 0, max: duration, step: 0.1, value: 0 });
    const mark = make("div", { className: "strip-mark" });
    const tiles = make("div", { className: "strip-tiles" });
    for (let n = 0; n < count; n++) {
      const tile = make("span");
      tile.style.aspectRatio = ratio;
      paint(tile, sheet, at(((n + 0.5) / count) * duration));
      tiles.append(tile);
    }
    tiles.append(mark, seek);
    this.strip.append(tiles);
    this.strip.hidden = false;

    const wide = ratio >= this.ratio;
    this.peek.style.aspectRatio = ratio;
    this.peek.style.margin = "auto";
    this.peek.style[wide ? "height" : "width"] = "auto";
    const place = (seconds) => {
      mark.classList.add("is-on");
      mark.style.left = `${(100 * seconds) / duration}%`;
    };
    const show = (seconds) => {
      paint(this.peek, sheet, at(seconds));
      this.peek.classList.add("is-on");
      this.peekTime.textContent = clock(seconds);
      this.peekTime.hidden = false;
      place(seconds);
    };
    const hide = () => {
      this.peek.classList.remove("is-on");
      this.peekTime.hidden = true;
      if (this.video.currentTime) place(this.video.currentTime);
      else mark.classList.remove("is-on");
    };
    seek.ariaLabel = `Seek in ${name}`;
    tiles.onpointermove = (event) => {
      const { left, width } = tiles.getBoundingClientRect();
      show(Math.min(1, Math.max(0, (event.clientX - left) / width)) * duration);
    };
    tiles.onpointerleave = hide;
    seek.oninput = () => {
      this.video.preload = "auto";
      this.video.currentTime = seek.value;
      seek.ariaValueText = clock(seek.value);
      place(seek.value);
    };
    seek.onpointerup = () => {
      hide();
      this.video.play().catch(() => {}); // the player says itself what is wrong with it
    };
    this.video.ontimeupdate = () => {
      seek.value = this.video.currentTime;
      seek.ariaValueText = clock(this.video.currentTime);
      if (this.peekTime.hidden) place(this.video.currentTime);
    };
  }
}

// The cues of a WebVTT of thumbnails: from when on, and where in the sprite.
export function readCues(text) {
  return text.split(/\n\n+/).flatMap((block) => {
    const found = /(?:(\d+):)?(\d+):(\d+\.\d+) -->[^\n]*\n[^\n]*#xywh=(\d+),(\d+),(\d+),(\d+)/.exec(block);
    if (!found) return [];
    const [hours, minutes, seconds, x, y, width, height] = found.slice(1).map((part) => Number(part ?? 0));
    return [{ start: 3600 * hours + 60 * minutes + seconds, x, y, width, height }];
  });
}

// Show one picture of the sprite, whatever the size of the element.
function paint(node, { sprite, width, height }, cue) {
  const share = (offset, whole, part) => (whole > part ? (100 * offset) / (whole - part) : 0);
  node.style.backgroundImage = `url("${sprite}")`;
  node.style.backgroundSize = `${(100 * width) / cue.width}% ${(100 * height) / cue.height}%`;
  node.style.backgroundPosition = `${share(cue.x, width, cue.width)}% ${share(cue.y, height, cue.height)}%`;
}
