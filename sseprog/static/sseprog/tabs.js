// Explained in tabs.d.ts.

import { follow, known, leave, release, wiring } from "./tracker.js";

const PATIENCE = 75000; // the timers of a hidden tab may stand still for a minute
const BEAT = 5000;
const ANSWER = 1000; // for a tab that hangs or is just being closed

export const shareTabs = (name = "sseprog") => {
	// Once, though this module may be there twice, as tabs.js and tabs.js?share.
	if (wiring.shared || !globalThis.document || !navigator.locks || !globalThis.BroadcastChannel) return; // each tab for itself
	wiring.shared = true;
	const own = wiring.feedFor;
	const channel = new BroadcastChannel(name);
	const me = `${name} ${Math.random()}`;
	const jobs = new Map(); // that are followed here, while another tab leads
	const relays = new Map(); // that are followed here, in the tab that leads, for others
	const others = new Set(); // tabs that have asked
	let leads, heard, resign;
	let early; // what is asked of this tab before it leads, and who has yet to ask

	// Held for as long as this tab is there. Who leads waits for it, so it comes before all messages.
	const present = new Promise((granted, denied) => {
		const hold = () => {
			granted();
			return new Promise(() => {});
		};
		navigator.locks.request(me, hold).catch(denied);
	});

	const post = (message) => present.then(() => channel.postMessage(message)).catch(() => {});

	const want = ({ key, url, options, cursor }) => {
		const { silence, maxReconnectAttempts } = options;
		post({ from: me, wanted: key, url: url.href, options: { silence, maxReconnectAttempts }, cursor });
	};

	const feed = {
		add(job) {
			job.feed = feed;
			jobs.set(job.key, job);
			want(job);
		},
		drop({ key }) {
			jobs.delete(key);
			post({ from: me, left: key });
		},
		greet({ trackers, last, link }, tracker) {
			if (!last || !trackers.has(tracker)) return;
			tracker.tell(...(link ?? ["open", {}]));
			tracker.call("onStatus", last);
		},
	};

	wiring.feedFor = (job) => (leads ? own(job) : feed);

	// In the tab that leads.

	const relay = (key, url, options, cursor) => {
		const tracker = {
			tabs: new Set(),
			call: (call, doc) => post({ key, call, doc, cursor: tracker.job.cursor }),
			tell(state, info) {
				tracker.state = state;
				post({ key, link: [state, info] });
			},
			close(reason, doc) {
				relays.delete(key);
				post({ key, reason, doc });
			},
		};
		relays.set(key, tracker);
		tracker.job = follow(new URL(url), options, tracker, cursor);
		return tracker;
	};

	const letGo = (key, tab) => {
		const tracker = relays.get(key);
		if (!tracker?.tabs.delete(tab) || tracker.tabs.size) return;
		relays.delete(key);
		leave(tracker.job, tracker);
	};

	// A tab that is gone has let go of its lock.
	const attend = async (tab) => {
		if (others.has(tab)) return;
		others.add(tab);
		await navigator.locks.request(tab, () => others.delete(tab));
		for (const key of relays.keys()) letGo(key, tab);
	};

	const serve = ({ from, wanted, url, options, cursor, left }) => {
		if (left) return letGo(left, from);
		const there = relays.get(wanted);
		const { tabs, state, job } = there ?? relay(wanted, url, options, cursor);
		tabs.add(from);
		attend(from);
		if (!there || !job.last) return;
		post({ to: from, key: wanted, link: [state === "polling" ? state : "open", {}] });
		post({ to: from, key: wanted, call: "onStatus", doc: job.last, cursor: job.cursor });
	};

	const followAll = () => {
		leads = true;
		for (const job of jobs.values()) own(job).add(job);
		jobs.clear();
	};

	// Who asks only when the stream is open misses what came meanwhile.
	const gather = async () => {
		const mine = (early = { asked: [], absent: new Set() });
		heard = Date.now();
		for (const { name: tab } of (await navigator.locks.query()).held)
			if (tab !== me && tab.slice(0, tab.lastIndexOf(" ")) === name) mine.absent.add(tab);
		await new Promise((done) => {
			mine.done = done;
			if (!mine.absent.size) done();
			setTimeout(done, ANSWER);
			post({ from: me, leads: true });
		});
		if (early !== mine) return; // another has taken the lock
		early = null;
		followAll();
		mine.asked.forEach(serve);
	};

	const lead = async (options) => {
		const away = (resign = new AbortController()).signal;
		try {
			// No signal goes with `steal`.
			await navigator.locks.request(name, options.steal ? options : { signal: away }, async () => {
				const gone = new Promise((done, deny) => (away.onabort = () => deny(away.reason)));
				await Promise.race([gather(), gone]);
				return gone;
			});
		} catch (error) {
			if (error.name !== "AbortError") return alone();
			// Another tab has waited too long, and taken it; or this page is kept while one looks at another.
			early = null;
			leads = false;
			heard = Date.now();
			for (const tracker of relays.values()) leave(tracker.job, tracker);
			relays.clear();
			for (const job of known.values()) {
				if (!job.trackers.size) continue;
				job.feed.drop(job);
				feed.add(job);
			}
			if (!away.aborted) lead({});
		}
	};

	// Where locks are denied, as to a frame without an origin, or where cookies are blocked.
	const alone = () => {
		clearInterval(beat);
		channel.close();
		followAll();
	};

	// In the others.

	const take = ({ key, link, call, doc, cursor, reason }) => {
		const job = jobs.get(key);
		if (!job) return;
		if (link) {
			job.link = link;
			for (const tracker of job.trackers)
				if (tracker.state !== link[0] || link[1].attempt) tracker.tell(...link);
		} else if (call) {
			const seen = cursor.epoch && cursor.epoch === job.cursor.epoch && cursor.seq <= job.cursor.seq;
			if (seen && job.last) return;
			job.cursor = cursor;
			job.last = doc;
			for (const tracker of job.trackers) tracker.call(call, doc);
		} else {
			jobs.delete(key);
			release(job, reason, doc);
		}
	};

	channel.onmessage = ({ data }) => {
		if (data.to && data.to !== me) return;
		if (data.asked) {
			early?.absent.delete(data.from);
			if (!early?.absent.size) early?.done?.();
			return;
		}
		if (leads) return data.from && !data.leads && serve(data);
		if (early && data.from && !data.leads) return early.asked.push(data);
		if (!data.from || data.leads) heard = Date.now();
		// Hidden tabs poll rarely, and try no stream.
		if (data.slow && jobs.size && !document.hidden) lead({ steal: true });
		if (data.leads) {
			jobs.forEach(want);
			post({ from: me, asked: true, to: data.from });
		} else if (data.key) take(data);
	};

	const beat = setInterval(() => {
		if (leads) post({ beat: true, slow: document.hidden && [...relays.values()].some(({ state }) => state === "polling") });
		else if (jobs.size && !document.hidden && Date.now() - heard > PATIENCE) {
			heard = Date.now();
			lead({ steal: true });
		}
	}, BEAT);

	// A page that is kept holds its locks, and does nothing.
	addEventListener("pagehide", ({ persisted }) => persisted && resign?.abort());
	addEventListener("pageshow", ({ persisted }) => {
		if (!persisted) return;
		heard = Date.now();
		lead({});
		jobs.forEach(want);
	});

	heard = Date.now();
	present.then(() => lead({}), alone);
};

// <script type="module" src=".../tabs.js?share">, where a page may hold no script of its own.
if (new URL(import.meta.url).searchParams.has("share")) shareTabs();
