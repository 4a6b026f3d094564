// Explained in store.d.ts.

import { ENDED, JobProgressTracker } from "./tracker.js";

const { freeze } = Object;

export const defaults = { base: "/jobs" };

const snapshot = ({ status = null, stage = "", progress = null, message = "", details, eta = null }, connection) => {
	const isComplete = status === "completed";
	const error = !isComplete && ENDED.includes(status) ? freeze({ message, code: details?.code ?? status }) : null;
	details = freeze({ ...details });
	return { status, stage, progress, message, details, eta, isComplete, error, connection };
};

const CONNECTING = freeze({ state: "connecting" });
const FIRST = snapshot({}, CONNECTING);

// Those that somebody is subscribed to.
const followed = new Map();

// One tracker, whatever the number of readers.
const follow = (key, url, options) => {
	const readers = new Set();
	let job = {};
	let connection = CONNECTING;
	let text = JSON.stringify(FIRST);
	let frame, timer;

	const publish = () => {
		cancelAnimationFrame(frame);
		clearTimeout(timer);
		timer = 0;
		const value = snapshot(job, connection);
		if (text === (text = JSON.stringify(value))) return;
		me.value = value;
		for (const read of readers) read();
	};

	const soon = () => {
		if (timer) return;
		frame = requestAnimationFrame(publish);
		timer = setTimeout(publish, 1000); // a page that isn't seen has no frames
	};

	const take = (doc) => {
		const news = job.status !== doc.status && !ENDED.includes(doc.status);
		job = doc;
		(news ? publish : soon)();
	};

	const tracker = new JobProgressTracker(url, {
		...options,
		onStatus: take,
		onProgress: take,
		onComplete: take,
		onError: take,
		onConnection(state, info) {
			connection = info.reason === "stopped" ? CONNECTING : freeze({ state, ...info });
			// The job's end is followed by the connection's.
			(state === "closed" ? publish : soon)();
		},
	});

	const me = {
		value: FIRST,
		add(read) {
			followed.set(key, me);
			readers.add(read);
			tracker.start();
		},
		drop(read) {
			readers.delete(read);
			// Who comes in the same turn finds it running: React mounts twice.
			queueMicrotask(() => {
				if (readers.size || followed.get(key) !== me) return;
				followed.delete(key);
				tracker.stop();
			});
		},
	};
	return me;
};

export const streamUrl = (job, base = defaults.base) =>
	/\//.test(job) ? String(job) : `${base}/${encodeURIComponent(job)}/stream`;

const resolve = (value) => (typeof value === "function" ? resolve(value()) : value);

const originOf = (url) => new URL(url, document.baseURI).origin;

// Only for where jobs are: an id that came from outside may be a URL of elsewhere.
export const tokenFor = (job, { base = defaults.base, csrf }) =>
	originOf(streamUrl(job, base)) === originOf(base) ? (resolve(csrf) ?? resolve(defaults.csrf)) : null;

export const jobStore = (job, { base, csrf, ...options } = {}) => {
	const url = streamUrl(job, base);
	const key = [url, options.silence, options.maxReconnectAttempts].join();
	let mine;
	const shared = () => (mine = followed.get(key) ?? mine);

	const cancel = async (headers) => {
		if (!job) return;
		headers = new Headers(headers);
		const token = tokenFor(job, { base, csrf });
		if (token && !headers.has("X-CSRFToken")) headers.set("X-CSRFToken", token);
		await new JobProgressTracker(url).cancel(headers);
	};

	// Stores share what is known, but not the way to cancel.
	const own = (value) => freeze({ ...value, cancel });
	const first = own(job ? FIRST : { ...FIRST, connection: freeze({ state: "idle" }) });
	let seen = FIRST;
	let value = first;
	const get = () => {
		const now = (job && shared()?.value) || FIRST;
		if (seen !== now) value = own((seen = now));
		return value;
	};

	return {
		get,
		getInitial: () => first,
		cancel,
		subscribe(fn) {
			const read = () => {
				try {
					fn(get());
				} catch (error) {
					reportError(error); // and go on
				}
			};
			// Svelte subscribes on servers too.
			if (job && globalThis.document) (shared() ?? (mine = follow(key, url, options))).add(read);
			fn(get());
			const { drop } = mine ?? {};
			return () => drop?.(read);
		},
	};
};
