// Explained in notices.d.ts.

const STYLE = `
:host { position: fixed; inset: auto 1rem 1rem; z-index: 9999; display: grid; justify-items: end; gap: .5rem; pointer-events: none; font: var(--sseprog-font, .875rem/1.45 system-ui, sans-serif) }
div {
	--tone: light-dark(#5a6172, #a4abbd);
	display: flex;
	flex-wrap: wrap;
	align-items: center;
	gap: .25rem .75rem;
	width: min(100%, 26rem);
	box-sizing: border-box;
	padding: .625rem 1rem;
	padding-inline-end: .75rem;
	border: 1px solid color-mix(in oklab, var(--tone) 25%, transparent);
	border-radius: var(--sseprog-radius, 1rem);
	background: var(--sseprog-surface, light-dark(#fff, #1a1d27));
	color: var(--sseprog-ink, light-dark(#171a23, #eef0f6));
	box-shadow: 0 .5rem 1.5rem -.25rem #0003;
	pointer-events: auto;
	overflow-wrap: anywhere;
}
div::before { content: "" / ""; flex: none; width: .5rem; height: .5rem; border-radius: 50%; background: var(--tone); forced-color-adjust: none }
.completed { --tone: light-dark(#0b7a54, #45d19d) }
.failed, .lost { --tone: light-dark(#c22440, #ff8390) }
span { flex: 1; unicode-bidi: plaintext; text-align: left; &:dir(rtl) { text-align: right } }
a { padding: .25rem; color: var(--sseprog-accent, light-dark(#4353d9, #8f9fff)); font-weight: 600 }
button { width: 2rem; height: 2rem; padding: 0; border: 0; border-radius: 1rem; background: none; color: light-dark(#5a6172, #a4abbd); font: 1.25rem/1 system-ui; cursor: pointer }
button:hover { background: color-mix(in oklab, currentColor 16%, transparent) }
:focus-visible { outline: 2px solid; outline-offset: 1px }
@media (prefers-reduced-motion: no-preference) {
	div { animation: come .3s }
	@keyframes come { from { opacity: 0; translate: 0 1rem } }
}`;

// A status has words if it is an end.
export const words = {
	completed: "{} is done",
	failed: "{} failed",
	cancelled: "{} was cancelled",
	lost: "{} was lost",
	link: "Result",
	close: "Dismiss",
};

const MOST = 4; // toasts at a time
const STAY = 10; // seconds in sight, unless it tells of a failure

export const allowNotifications = async () =>
	(await globalThis.Notification?.requestPermission()) === "granted";

export const tell = (job, label) =>
	globalThis.dispatchEvent?.(Object.assign(new CustomEvent("job-progress", { detail: job }), { label }));

// A document is data: it may lead to this site only, and hold what is no address at all.
const web = (url, own) => {
	if (typeof url !== "string" || !URL.canParse(url, document.baseURI)) return;
	const { protocol, origin, href } = new URL(url, document.baseURI);
	if (/^https?:$/.test(protocol) && (!own || (/^(https?:\/)?\//.test(url) && origin === location.origin))) return href;
};

export const announce = ({ title, toast, notification, link } = {}) => {
	if (!globalThis.document) return () => {}; // on a server
	const jobs = new Map(); // all that were seen alive, while one of them is
	const host = document.createElement("div");
	const root = host.attachShadow({ mode: "open" });
	const sheet = new CSSStyleSheet();
	let prefix = "";
	let before; // what had the focus before a toast
	sheet.replaceSync(STYLE);
	root.adoptedStyleSheets = [sheet];
	host.role = "status";
	host.ariaAtomic = "false"; // each is read out once
	if (toast) document.body.append(host);

	const draw = () => {
		const all = [...jobs.values()];
		if (!all.some(({ job, node }) => !words[job.status] && node.isConnected !== false)) jobs.clear();
		const sum = all.reduce((sum, { job }) => sum + (words[job.status] ? 100 : Math.min(job.progress, 99)), 0);
		const now = title && jobs.size ? `(${Math.floor(sum / all.length)}%) ` : "";
		if (now === prefix) return;
		// The page may have changed it meanwhile.
		document.title = now + document.title.slice(document.title.startsWith(prefix) && prefix.length);
		prefix = now;
	};

	// The focus goes on to the next of them, or back to where it was.
	const drop = (node) => {
		const next = (node.nextSibling ?? node.previousSibling)?.lastChild ?? before;
		const focused = node.contains(root.activeElement);
		node.remove();
		if (focused) next?.focus();
	};

	const raise = (text, href, status) => {
		if (notification && document.hidden && self.Notification?.permission === "granted")
			try {
				// One at a time, whatever ends, for all tabs.
				new Notification(text, { tag: "sseprog" }).onclick = () => {
					focus();
					if (href) location.href = href;
				};
			} catch {
				// Chromium on Android has none for pages.
			}
		const put = (parent, name, props) => parent.appendChild(Object.assign(document.createElement(name), props));
		const node = put(root, "div", { className: status, left: status === "completed" ? STAY : Infinity });
		put(node, "span", { textContent: text });
		if (href) put(node, "a", { href, textContent: words.link });
		put(node, "button", { textContent: "×", ariaLabel: words.close, title: words.close, onclick: () => drop(node) });
		// The good news go first.
		if (root.children.length > MOST) drop(root.querySelector(".completed") ?? root.firstChild);
	};

	const hear = (event) => {
		const { detail, label } = event;
		const [node] = event.composedPath();
		const id = detail.job_id;
		const known = jobs.get(id);
		const over = words[detail.status];
		if (!detail.status) {
			if (detail.state === "closed" && detail.reason !== "ended")
				for (const [key, job] of jobs) if (job.node === node && (id ?? key) === key) jobs.delete(key);
		} else if (!over || (known && !words[known.job.status])) {
			jobs.set(id, { job: detail, node });
			const about = label ?? node.labelOf?.(id) ?? node.getAttribute?.("label") ?? id;
			const { url, result } = detail.details ?? {};
			if (over) raise(over.replace("{}", () => about), link ? web(link(detail)) : web(url ?? result, true), detail.status);
		}
		draw();
	};

	const gone = new AbortController();
	for (const name of ["status", "progress", "complete", "error", "connection"]) addEventListener(`job-${name}`, hear, gone);
	addEventListener(
		"focusout",
		(event) => {
			const path = event.composedPath(); // into shadow roots
			if (!path.includes(host)) [before] = path;
		},
		gone,
	);
	const timer = setInterval(() => {
		draw();
		if (!document.hidden)
			for (const node of root.querySelectorAll("div:not(:hover, :focus-within)")) if (--node.left < 0) node.remove();
	}, 1000);

	return () => {
		gone.abort();
		clearInterval(timer);
		host.remove();
		jobs.clear();
		draw();
	};
};
