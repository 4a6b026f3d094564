// Explained in job-list.d.ts.

import { ENDED, JobProgressTracker } from "./tracker.js";

const STYLE = `
:host {
	--tone: light-dark(#5a6172, #a4abbd);
	--ink: var(--sseprog-ink, light-dark(#171a23, #eef0f6));
	--accent: var(--sseprog-accent, light-dark(#4353d9, #8f9fff));
	--good: light-dark(#0b7a54, #45d19d);
	--bad: light-dark(#c22440, #ff8390);
	--rest: color-mix(in oklab, var(--tone) 16%, transparent);
	--line: color-mix(in oklab, var(--tone) 65%, transparent);
	--row: round(4.25em, 1px);
	display: block;
	position: relative;
	container: list / inline-size;
	overflow: clip;
	border: 1px solid var(--rest);
	border-radius: var(--sseprog-radius, 1rem);
	background: var(--sseprog-surface, light-dark(#fff, #1a1d27));
	color: light-dark(#5a6172, #a4abbd);
	font: var(--sseprog-font, .875rem/1.45 system-ui, sans-serif);
	font-variant-numeric: tabular-nums;
	text-align: left;
}
:host([hidden]), [hidden], :host(:not([cancellable])) .action { display: none }
:host(:dir(rtl)) { text-align: right }
.running { --tone: var(--accent) }
.completed { --tone: var(--good) }
.failed, .lost { --tone: var(--bad) }
.stalled { --tone: light-dark(#8d5800, #f2b750) }
.head { display: flex; flex-wrap: wrap; align-items: center; gap: .75rem; padding: 1.25rem }
.about { flex: 1 9rem; overflow-wrap: anywhere }
.title, .overall, .label, [aria-sort] { color: var(--ink); font-weight: 600 }
.title { font-size: 1.0625rem }
.overall { font-size: 1.875rem; line-height: 1; letter-spacing: -.03em }
.overall::after { content: "%"; font-size: .55em }
.track { flex: 1; height: .375rem; border-radius: 1rem; background: var(--rest); overflow: hidden }
.head .track { flex: 1 100%; height: .5rem; background: linear-gradient(90deg, var(--good) var(--a), var(--bad) 0 var(--b), var(--tone) 0 var(--c), var(--accent) 0 var(--d), var(--rest) 0) }
.track:dir(rtl) { scale: -1 1 }
.bar { height: 100%; border-radius: 1rem; background: var(--tone); translate: calc(var(--p) * 1% - 100%) }
.running :not([aria-valuenow]) > .bar { width: 35%; translate: 90% }
button, input, select { padding: .25rem .75rem; min-height: 2rem; border: 1px solid var(--line); border-radius: 1rem; background: none; color: inherit; font: inherit }
input { flex: 9 6rem; min-width: 0 }
::placeholder { color: inherit; opacity: 1 }
option { background: Canvas; color: CanvasText }
button { cursor: pointer }
button:hover, .row:hover { background: var(--rest) }
:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px }
.scroll { overflow: hidden auto; scroll-padding-top: 5em; max-height: var(--sseprog-list-height, 75vh) }
.columns, .row { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 5fr) minmax(0, 4fr) 6.5em auto; gap: 0 1.25rem; align-items: center; padding: 0 1.25rem; border-bottom: 1px solid var(--rest) }
.columns { position: sticky; top: 0; z-index: 1; background: var(--sseprog-surface, light-dark(#fff, #1a1d27)) }
.columns button { padding: 0; min-width: 1.75rem; border: 0; text-align: inherit }
[aria-sort] button::after { content: " ↑" / "" }
[aria-sort=descending] button::after { content: " ↓" / "" }
.action { width: 2rem }
.body { position: relative; height: calc(var(--n) * var(--row) - 1px); overflow: clip }
.row { position: absolute; inset-inline: 0; height: var(--row); box-sizing: border-box; contain: strict; translate: 0 calc(var(--i) * var(--row)) }
.title, .summary, .eta { unicode-bidi: plaintext }
.label, .status, .message { display: block; unicode-bidi: plaintext; overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
.status { color: var(--tone) }
.status::before { content: "● " / "" }
.how { display: flex; align-items: center; gap: .75rem; min-height: 1.45em }
.percent { width: 3em; text-align: end }
.cancel { width: 2rem; padding: 0; border-color: var(--rest); font-size: 1.25rem; line-height: 1 }
[aria-disabled=true] { opacity: .4 }
.none { padding: 2rem; text-align: center }
.live { position: absolute; clip-path: inset(50%) }
@container list (width < 44rem) {
	select { flex: 1 auto }
	.body { --row: round(7em, 1px) }
	.columns { display: flex; flex-wrap: wrap; gap: 0 1rem }
	.row { grid-template: "a a b" 2rem "c c c" "d e e" / 1fr auto auto; align-content: center; gap: .375rem .75rem }
	.columns .action { display: none }
	.action { grid-area: b }
	.name { grid-area: a }
	.how { grid-area: c }
	.eta { grid-area: e }
	.what { grid-area: d; unicode-bidi: plaintext; overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
	.status, .message { display: inline; unicode-bidi: normal }
	.message:not(:empty)::before { content: " – " }
}
@media (prefers-reduced-motion: no-preference) {
	.bar, .row { transition: translate .3s }
	.running :not([aria-valuenow]) > .bar { animation: seek 1.5s ease-in-out infinite alternate }
	@keyframes seek { from { translate: -20% } to { translate: 205% } }
}
@media (forced-colors: active) {
	.track { --accent: Highlight; --good: Highlight; --bad: Highlight; --tone: Highlight; --rest: Canvas; border: 1px solid CanvasText; forced-color-adjust: none }
}`;

const COLUMNS = ["label", "status", "progress", "eta"];
const STATUSES = ["running", "stalled", "pending", ...ENDED, "gone", "denied"];
const PACE = 250; // milliseconds between two sortings
const SPARE = 4; // rows drawn above and below those in sight

const { compare } = new Intl.Collator(undefined, { numeric: true });

const make = (name, props, ...children) => {
	const node = Object.assign(document.createElement(props?.tag ?? "div"), props);
	node.className = node.part = name;
	node.append(...children);
	return node;
};

// Write what has changed, and nothing else.
const set = (node, values) => {
	const was = (node.was ??= {});
	for (const key in values) {
		const value = values[key];
		if (was[key] === value) continue;
		was[key] = value;
		if (key in node) node[key] = value;
		else node.style.setProperty(key, value);
	}
};

const join = (list, comma = ", ") => list.filter(Boolean).join(comma);

const look = ({ job: { status = "connecting", progress }, link }) => {
	const over = link.state === "closed" && /gone|denied/.test(link.reason) && link.reason;
	const ended = over || ENDED.includes(status);
	// 100 is for the end.
	const percent = status === "completed" ? 100 : progress && Math.min(progress, 99);
	return { state: over || status, ended, percent, whole: percent && Math.floor(percent) };
};

// Where there is no page, as on a server, it may be imported.
export class JobList extends (globalThis.HTMLElement ?? Object) {
	static observedAttributes = ["jobs", "label", "sort"];
	static words = {
		title: "Jobs",
		filter: "Filter",
		all: "All",
		label: "Job",
		status: "Status",
		progress: "Progress",
		eta: "Time left",
		connecting: "Connecting…",
		running: "Running",
		pending: "Waiting",
		stalled: "No sign of life",
		completed: "Done",
		failed: "Failed",
		cancelled: "Cancelled",
		lost: "Lost",
		left: "{} left",
		cancel: "Cancel",
		cancelling: "Cancelling…",
		uncancelled: "Not cancelled. Try again.",
		gone: "Not known",
		denied: "Not allowed",
		reconnecting: "Connection lost, reconnecting…",
		done: "{} of {} done",
		failures: "{} failed",
		cancellations: "{} cancelled",
		unknown: "{} not known",
		none: "No jobs",
		unmatched: "No job matches",
	};

	#ui = {};
	#rows = new Map();
	#shown = []; // those that pass the filter, sorted
	#drawn = []; // those that have nodes
	#stale;
	#due = 0;
	#frame;
	#timer;
	#summary;
	#told;
	#said;
	#mute;

	constructor() {
		super();
		const { words } = JobList;
		const root = this.attachShadow({ mode: "open" });
		const sheet = new CSSStyleSheet();
		sheet.replaceSync(STYLE);
		root.adoptedStyleSheets = [sheet];
		const part = (name, ...rest) => (this.#ui[name] = make(name, ...rest));
		const now = () => this.#sort(0);
		const option = (value) => make("option", { tag: "option", value });
		const column = (name) => {
			const onclick = () => this.setAttribute("sort", (this.getAttribute("sort") === name ? "-" : "") + name);
			return make("column", { role: "columnheader" }, make("sort", { tag: "button", onclick }, words[name]));
		};
		root.append(
			make("head", null,
				make("about", null, part("title"), part("summary")),
				part("overall"),
				part("track", { role: "progressbar" }),
				part("filter", { tag: "input", type: "search", placeholder: words.filter, ariaLabel: words.filter, oninput: now }),
				part("only", { tag: "select", ariaLabel: words.status, onchange: now }, ...["", ...STATUSES].map(option)),
			),
			part("scroll", { role: "region", tabIndex: 0, onscroll: this.#plan },
				part("table", { role: "table" },
					make("", { role: "rowgroup" },
						part("columns", { role: "row", ariaRowIndex: 1 },
							...COLUMNS.map(column),
							make("action", { role: "columnheader" }, make("live", { textContent: words.cancel })),
						),
					),
					part("body", { role: "rowgroup" }),
				),
			),
			part("none"),
			part("live", { role: "status" }),
		);
		new ResizeObserver(this.#plan).observe(this.#ui.scroll);
	}

	connectedCallback() {
		for (const { tracker } of this.#rows.values()) tracker?.start();
		this.#timer = setInterval(() => {
			for (const row of this.#drawn) row.dirty = true; // time goes by
			this.#plan();
			// Each write is read out.
			if (document.hidden || this.#said === this.#summary || Date.now() < this.#mute) return;
			this.#mute = Date.now() + 30000;
			this.#ui.live.textContent = this.#said = this.#summary;
		}, 1000);
		this.attributeChangedCallback();
	}

	disconnectedCallback() {
		clearInterval(this.#timer);
		for (const { tracker } of this.#rows.values()) tracker?.stop();
	}

	attributeChangedCallback() {
		if (!this.isConnected) return;
		const found = new Map(this.getAttribute("jobs")?.match(/\S+/g)?.map((id) => [id]));
		// Shown as they are where there is no JavaScript.
		for (const { dataset, textContent, href } of this.querySelectorAll("[data-job]"))
			found.set(dataset.job, { label: textContent, href });
		for (const { id, declared } of this.#rows.values()) if (declared && !found.has(id)) this.remove(id);
		for (const [id, about] of found) this.add(id, about).declared = true;
		this.#sort(0);
	}

	add(id, about) {
		const row = this.#row(id, about);
		const emit = (name, detail) =>
			this.dispatchEvent(new CustomEvent(`job-${name}`, { detail, bubbles: true, composed: true }));
		const take = (name) => (job) => {
			this.show(job);
			emit(name, job);
		};
		row.tracker ??= new JobProgressTracker(row.url, {
			onStatus: take("status"),
			onProgress: take("progress"),
			onComplete: take("complete"),
			onError: take("error"),
			onConnection: (state, info) => {
				row.link = { state, ...info };
				this.#touch(row);
				emit("connection", { job_id: id, state, ...info });
			},
		});
		if (this.isConnected) row.tracker.start();
		return row;
	}

	// Without an id it is what every element has.
	remove(...ids) {
		if (!ids.length) return super.remove();
		const [id] = ids;
		this.#rows.get(id)?.tracker?.stop();
		this.#rows.delete(id);
		this.#sort();
	}

	show(job, about) {
		const row = this.#row(job.job_id, about);
		row.job = job;
		row.due = Date.now() + (job.eta ?? NaN) * 1000;
	}

	labelOf(id) {
		return this.#rows.get(id)?.label;
	}

	#row(id, about) {
		let row = this.#rows.get(id);
		if (!row) {
			const url = `${this.getAttribute("base") ?? "/jobs"}/${encodeURIComponent(id)}/stream`;
			this.#rows.set(id, (row = { id, url, label: id, number: this.#rows.size, job: {}, link: {} }));
		}
		this.#touch(row);
		return Object.assign(row, about);
	}

	// It may have been removed meanwhile.
	#touch(row) {
		row.dirty = true;
		this.#sort();
	}

	#sort(due = this.#due) {
		this.#stale = true;
		this.#due = due;
		this.#plan();
	}

	// A page that isn't seen has no frames, and paints nothing.
	#plan = () => {
		this.#frame ||= requestAnimationFrame(this.#paint);
	};

	#paint = (now) => {
		this.#frame = 0;
		const { scroll, body } = this.#ui;
		const root = this.shadowRoot;
		const focused = root.activeElement;
		const home = focused?.closest(".row");
		// No row slips away under the pointer that is about to cancel it.
		if (this.#stale && now > this.#due && !(this.#due && root.querySelector(".cancel:hover"))) {
			this.#due = now + PACE;
			this.#arrange();
		}
		if (this.#stale) this.#plan();

		const height = body.offsetHeight / this.#shown.length || 1;
		const first = Math.floor(scroll.scrollTop / height) - SPARE;
		const last = first + scroll.clientHeight / height + 2 * SPARE;
		const drawn = this.#shown.filter((row, index) => {
			row.index = index;
			return (index >= first && index <= last) || row.view?.contains(focused);
		});
		for (const row of this.#drawn)
			if (!drawn.includes(row)) {
				row.view.remove();
				row.view = null;
			}
		this.#drawn = drawn;
		let next = null;
		for (const row of drawn.toReversed()) {
			const view = (row.view ??= this.#view(row));
			// With its transitions, where the browser can.
			if (!view.parentNode || view.nextSibling !== next)
				body[view.parentNode && body.moveBefore ? "moveBefore" : "insertBefore"](view, next);
			next = view;
			set(view, { "--i": row.index, ariaRowIndex: row.index + 2 });
			if (row.dirty) this.#draw(row);
		}
		// Where a button has gone, its row; where a row has, the list.
		for (const node of [focused, home, scroll])
			if (focused && !root.activeElement) node?.focus({ preventScroll: true });
	};

	#arrange() {
		const { words } = JobList;
		const ui = this.#ui;
		const [, minus, by] = /^(-?)(.*)/.exec(this.getAttribute("sort") ?? "");
		const sign = minus ? -1 : 1;
		const text = ui.filter.value.toLowerCase();
		const only = ui.only.value;
		const total = this.#rows.size;
		const counts = { "": total };
		let sum = 0;
		let lost;
		this.#stale = false;
		this.#shown = [...this.#rows.values()].filter((row) => {
			const { state, percent, ended } = look(row);
			const { label, id, job, link } = row;
			counts[state] = (counts[state] ?? 0) + 1;
			if (state !== "gone" && state !== "denied") sum += ended ? 100 : percent || 0;
			lost ||= link.state === "reconnecting" && link.attempt > 2;
			// What isn't known comes last.
			const unknown = sign * Infinity;
			row.key = { label, status: STATUSES.indexOf(state), progress: percent ?? unknown, eta: ended ? unknown : row.due || unknown }[by];
			return (!only || state === only) && join([label, id, job.stage, job.message], " ").toLowerCase().includes(text);
		});
		const order = by === "label" ? compare : (a, b) => a - b;
		if (by) this.#shown.sort((a, b) => sign * order(a.key, b.key) || a.number - b.number);

		const { length } = this.#shown;
		const count = (...states) => states.reduce((sum, state) => sum + (counts[state] ?? 0), 0);
		const done = count("completed");
		const failed = count("failed", "lost");
		const cancelled = count("cancelled");
		const unknown = count("gone", "denied");
		const rest = total - unknown; // nobody knows how far the others are
		const whole = rest ? Math.floor(sum / rest) : null;
		const ariaLabel = this.getAttribute("label") ?? words.title;
		const summary = join([
			words.done.replace("{}", done).replace("{}", total),
			failed && words.failures.replace("{}", failed),
			cancelled && words.cancellations.replace("{}", cancelled),
			unknown && words.unknown.replace("{}", unknown),
			lost && words.reconnecting,
		]);
		set(ui.title, { textContent: ariaLabel });
		set(ui.summary, { textContent: total ? summary : "" });
		set(ui.overall, { textContent: whole, hidden: !rest });
		set(ui.track, { ariaLabel, ariaValueNow: whole, ariaValueText: total ? summary : words.none });
		// Parts of the bar, each from where the last one ends.
		[done, failed, cancelled, sum / 100].reduce((from, part, index) => {
			const to = index < 3 ? from + part : part;
			set(ui.track, { [`--${"abcd"[index]}`]: `${(100 * to) / (rest || 1)}%` });
			return to;
		}, 0);
		for (const option of ui.only.children)
			set(option, { textContent: `${words[option.value || "all"]} (${counts[option.value] ?? 0})` });
		COLUMNS.forEach((name, index) =>
			set(ui.columns.children[index], { ariaSort: name === by ? (minus ? "descending" : "ascending") : null }),
		);
		set(ui.scroll, { ariaLabel });
		set(ui.table, { ariaLabel, ariaRowCount: length + 1 });
		set(ui.body, { "--n": length });
		set(ui.none, { textContent: length ? "" : total ? words.unmatched : words.none, hidden: length });
		const detail = { total, done, failed, progress: whole };
		this.#summary = summary;
		if (this.#told !== (this.#told = `${Object.values(detail)}`))
			this.dispatchEvent(new CustomEvent("job-list-change", { detail, bubbles: true, composed: true }));
	}

	#view(row) {
		const cell = (name, ...children) => (ui[name] = make(name, { role: "cell" }, ...children));
		const part = (name, ...rest) => (ui[name] = make(name, ...rest));
		const ui = {};
		const onclick = async () => {
			if (row.asked === "cancelling") return;
			const token = this.getAttribute("csrf-token");
			const tracker = row.tracker ?? new JobProgressTracker(row.url);
			row.asked = "cancelling";
			this.#touch(row);
			try {
				await tracker.cancel(token ? { "X-CSRFToken": token } : {});
			} catch {
				row.asked = "uncancelled";
				this.#touch(row);
			}
		};
		row.dirty = true;
		return make("row", { role: "row", tabIndex: -1, ui },
			cell("name", part("label", { tag: "a" })),
			cell("what", part("status", { tag: "span" }), part("message", { tag: "span" })),
			cell("how", part("track", { role: "progressbar" }, part("bar")), part("percent", { ariaHidden: true })),
			cell("eta"),
			cell("action", part("cancel", { tag: "button", onclick }, "×")),
		);
	}

	#draw(row) {
		const { words } = JobList;
		const { view, label, href, job, asked } = row;
		const { ui } = view;
		const { state, ended, percent, whole } = look(row);
		const seconds = ended || state === "stalled" ? 0 : (row.due - Date.now()) / 1000;
		const [unit, sign] = seconds > 5400 ? [3600, " h"] : seconds > 90 ? [60, " min"] : [10, "0 s"];
		const eta = seconds > 0 ? words.left.replace("{}", Math.ceil(seconds / unit) + sign) : "";
		const place = join([(!ended && words[asked]) || words[state], state !== "completed" && job.stage], " · ");
		row.dirty = false;
		set(view, { className: `row ${state}`, part: `row ${state}` });
		set(ui.label, { textContent: label, title: label });
		if (href) set(ui.label, { href });
		set(ui.status, { textContent: place });
		set(ui.message, { textContent: job.message ?? "" });
		set(ui.bar, { "--p": percent?.toFixed(1) ?? 0 });
		set(ui.track, { ariaLabel: label, ariaValueNow: whole ?? null, ariaValueText: join([place, whole && `${whole}%`, eta]) });
		set(ui.percent, { textContent: whole == null ? "" : `${whole}%` });
		set(ui.eta, { textContent: eta });
		set(ui.cancel, { ariaLabel: `${words.cancel} ${label}`, ariaDisabled: asked === "cancelling" });
		if (ended) ui.cancel.remove();
		else if (!ui.cancel.parentNode) ui.action.append(ui.cancel);
	}
}

globalThis.customElements?.get("job-list") ?? globalThis.customElements?.define("job-list", JobList);
