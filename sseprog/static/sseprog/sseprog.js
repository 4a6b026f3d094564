// Explained in sseprog.d.ts.

import { ENDED, JobProgressTracker } from "./tracker.js";

export { JobProgressTracker };

const STYLE = `
:host {
	--tone: light-dark(#5a6172, #a4abbd);
	--glow: var(--tone);
	--ink: var(--sseprog-ink, light-dark(#171a23, #eef0f6));
	--rest: color-mix(in oklab, var(--tone) 16%, transparent);
	display: block;
	position: relative;
	padding: 1.25rem;
	border: 1px solid var(--rest);
	border-radius: var(--sseprog-radius, 1rem);
	background: var(--sseprog-surface, light-dark(#fff, #1a1d27));
	color: light-dark(#5a6172, #a4abbd);
	font: var(--sseprog-font, .875rem/1.45 system-ui, sans-serif);
	font-variant-numeric: tabular-nums;
	overflow-wrap: anywhere;
}
:host([hidden]), [hidden], :empty:not(#bar, #live, #hint, #message, slot) { display: none }
:host([state=running]) {
	--tone: var(--sseprog-accent, light-dark(#4353d9, #8f9fff));
	--glow: color-mix(in oklch, var(--tone), cyan 40%);
}
:host([state=completed]) { --tone: light-dark(#0b7a54, #45d19d) }
:host([state=failed]), :host([state=lost]) { --tone: light-dark(#c22440, #ff8390) }
:host([state=stalled]) { --tone: light-dark(#8d5800, #f2b750) }
#head, #foot, #end { display: flex; flex-wrap: wrap; gap: .25rem 1rem }
#title { flex: 1 9rem }
#label, #stage, #message, li { unicode-bidi: plaintext; text-align: left; &:dir(rtl) { text-align: right } }
#label, #percent, [role=alert], [aria-current] { color: var(--ink); font-weight: 600 }
#label { font-size: 1.0625rem }
#stage { color: var(--tone) }
#percent { font-size: 1.875rem; line-height: 1; letter-spacing: -.03em }
#percent::after { content: "%"; font-size: .55em }
#track { height: .5rem; margin: .875rem 0 .75rem; border-radius: 1rem; background: var(--rest); overflow: hidden }
#bar { height: 100%; border-radius: 1rem; background: linear-gradient(90deg, var(--tone), var(--glow), var(--tone)) 0/200% }
:host([state=running]) :not([aria-valuenow]) > #bar { --glow: var(--rest); width: 100% !important }
#message { flex: 999 auto; white-space: pre-line }
#end { flex: 1 auto; justify-content: space-between }
#foot, #end { align-items: center }
#reference, #hint { flex: 1 100% }
button { margin-inline-start: auto; padding: .25rem .875rem; border: 1px solid; border-radius: 1rem; background: none; color: inherit; font: inherit; cursor: pointer }
button:hover { background: var(--rest) }
:focus-visible { outline: 2px solid; outline-offset: 2px }
#hint { color: light-dark(#8d5800, #f2b750) }
#stages { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .75rem; margin-top: 1rem; list-style: none }
li::before { content: ""; display: block; height: .1875rem; margin-bottom: .375rem; border-radius: 1rem; background: linear-gradient(90deg, var(--tone) var(--part), var(--rest) 0) }
#bar:dir(rtl), li:dir(rtl)::before { scale: -1 1 }
#live, #hint:empty { position: absolute; clip-path: inset(50%) }
@media (prefers-reduced-motion: no-preference) {
	#bar { transition: width .5s; animation: flow 3s linear infinite }
	@keyframes flow { to { background-position: -200% } }
}
@media (forced-colors: active) {
	#track, li::before { border: 1px solid CanvasText }
	#bar, li::before { --tone: Highlight; --glow: Highlight; --rest: Canvas; forced-color-adjust: none }
}`;

// Where there is no page, as on a server, it may be imported.
export class JobProgress extends (globalThis.HTMLElement ?? Object) {
	static observedAttributes = ["src"];
	static words = {
		connecting: "Connecting…",
		pending: "Waiting",
		stalled: "No sign of life",
		completed: "Done",
		failed: "Failed",
		cancelled: "Cancelled",
		lost: "Lost",
		left: "about {} left",
		cancel: "Cancel",
		cancelling: "Cancelling…",
		uncancelled: "Not cancelled. Try again.",
		reference: "Reference",
		label: "Progress",
		reconnecting: "Connection lost, reconnecting…",
		gone: "This job is not known.",
		denied: "Not allowed. Are you signed in?",
		attempts: "Connection lost. Reload to try again.",
	};

	#ui = {};
	#job = {};
	#link = {};
	#said = {};
	#tracker;
	#timer;
	#due;
	#asked;

	constructor() {
		super();
		const root = this.attachShadow({ mode: "open" });
		const sheet = new CSSStyleSheet();
		sheet.replaceSync(STYLE);
		root.adoptedStyleSheets = [sheet];
		const part = (name, role, ...children) => {
			const node = document.createElement(name === "cancel" ? "button" : "div");
			this.#ui[name] = node;
			node.id = node.part = name;
			node.role = role;
			node.append(...children);
			return node;
		};
		root.append(
			part("head", null, part("title", null, part("label"), part("stage")), part("percent")),
			part("track", "progressbar", part("bar")),
			part("foot", null, part("message"), part("end", null, part("eta"), part("cancel")), part("reference"), part("hint", "status")),
			part("stages", "list"),
			document.createElement("slot"),
			part("live", "status"),
		);
		this.#ui.track.tabIndex = -1;
		this.#ui.cancel.onclick = async () => {
			if (this.#asked === "asked") return;
			const token = this.getAttribute("csrf-token");
			this.#asked = "asked";
			this.#draw();
			try {
				await this.#tracker.cancel(token ? { "X-CSRFToken": token } : {});
			} catch {
				this.#asked = "uncancelled";
				this.#draw();
			}
		};
	}

	connectedCallback() {
		const src = this.getAttribute("src");
		const emit = (name, detail) => {
			this.#draw();
			this.dispatchEvent(new CustomEvent(`job-${name}`, { detail, bubbles: true, composed: true }));
		};
		const take = (name) => (job) => {
			this.#job = job;
			this.#due = Date.now() + (job.eta ?? NaN) * 1000;
			emit(name, job);
		};
		if (src)
			this.#tracker ??= new JobProgressTracker(src, {
				onStatus: take("status"),
				onProgress: take("progress"),
				onComplete: take("complete"),
				onError: take("error"),
				onConnection: (state, info) => emit("connection", (this.#link = { state, ...info })),
			});
		this.#tracker?.start();
		clearInterval(this.#timer);
		this.#timer = setInterval(() => this.#draw(), 1000);
	}

	disconnectedCallback() {
		clearInterval(this.#timer);
		this.#tracker?.stop();
	}

	attributeChangedCallback() {
		this.disconnectedCallback();
		this.#tracker = this.#asked = null;
		this.#job = {};
		if (this.isConnected) this.connectedCallback();
	}

	#draw() {
		const { words } = JobProgress;
		const ui = this.#ui;
		const { status = "connecting", stage, progress, message, details } = this.#job;
		const { state, reason, attempt } = this.#link;
		const asked = this.#asked;
		const over = state === "closed" && (reason === "gone" || reason === "denied") && reason;
		const ended = over || ENDED.includes(status);
		const done = status === "completed";
		const failed = status === "failed" || status === "lost";
		// 100 is for the end.
		const percent = done ? 100 : progress && Math.min(progress, 99);
		const whole = percent && Math.floor(percent);
		const label = this.getAttribute("label");
		const seconds = ended || status === "stalled" ? 0 : (this.#due - Date.now()) / 1000;
		const [unit, sign] = seconds > 5400 ? [3600, " h"] : seconds > 90 ? [60, " min"] : [10, "0 s"];
		const eta = seconds > 0 ? words.left.replace("{}", Math.ceil(seconds / unit) + sign) : "";
		const place = over ? "" : [words[status], !done && stage].filter(Boolean).join(" · ");
		const spoken = [place, whole && `${whole}%`, eta].filter(Boolean).join(", ");

		const texts = {
			label,
			stage: place,
			percent: whole,
			message: message || (failed && place) || "",
			reference: details?.reference && `${words.reference} ${details.reference}`,
			eta,
			// Most losses are over before anybody need be told.
			hint: words[state === "closed" ? reason : state === "reconnecting" && attempt > 2 ? state : asked],
			cancel: asked === "asked" ? words.cancelling : words.cancel,
		};
		ui.message.role = failed ? "alert" : null;
		for (const name in texts) put(ui[name], texts[name]);
		this.setAttribute("state", over || status);
		ui.bar.style.width = `${percent ?? 0}%`;
		ui.track.ariaLabel = label ?? words.label;
		ui.track.ariaValueNow = whole;
		ui.track.ariaValueText = spoken || null;
		const hidden = ended || !this.hasAttribute("cancellable");
		// Who has pressed it hears how it ended.
		if (hidden && this.shadowRoot.activeElement === ui.cancel) ui.track.focus({ preventScroll: true });
		ui.cancel.hidden = hidden;
		ui.cancel.ariaDisabled = asked === "asked";

		const list = ui.stages;
		const stages = Array.isArray(details?.stages) ? details.stages : [];
		while (list.children.length > stages.length) list.lastChild.remove();
		stages.forEach((item, index) => {
			const node = list.children[index] ?? list.appendChild(document.createElement("li"));
			put(node, item?.name);
			node.part = "step";
			node.ariaCurrent = !done && stage === item?.name ? "step" : null;
			node.style.setProperty("--part", `${item?.progress ?? 0}%`);
		});

		// Each write is read out.
		const said = this.#said;
		if (said.place === place && !(whole >= said.whole + 10 && Date.now() > said.at + 30000)) return;
		this.#said = { place, whole, at: Date.now() };
		put(ui.live, failed ? "" : spoken);
	}
}

function put(node, text) {
	if (node.textContent !== `${text ?? ""}`) node.textContent = text;
}

globalThis.customElements?.get("job-progress") ?? globalThis.customElements?.define("job-progress", JobProgress);
