// Explained in tracker.d.ts.

export const ENDED = ["completed", "failed", "cancelled", "lost"];

const MOST = 64; // jobs on one stream
const ROUND = 8; // snapshots asked for in one go, two at a time

const feeds = new Set();
const apart = new Set(); // keys of feeds whose jobs are not to be had together

const wait = (least, most) => performance.now() + least + Math.random() * (most - least);

const address = (url, end) =>
	Object.assign(new URL(url), { pathname: url.pathname.replace(/\/stream\/?$/, end) });

// A browser has six connections, but for HTTP/2: two are left to the page.
const hasRoom = (origin, taken = [...feeds].filter((feed) => feed.streams()).length) =>
	taken < 4 ||
	performance.getEntries().some((entry) => entry.name.startsWith(origin) && /^h[23]/.test(entry.nextHopProtocol));

const makeFeed = (key, { silence = 37500, maxReconnectAttempts = Infinity }) => {
	const origin = `${new URL(key).origin}/`;
	let run, source, timer, heard, state, attempt, planned;
	// Times to ask for snapshots, to try a stream again, to leave out who has left, to doubt it.
	let due, again, trim, patience;
	// Why it polls; since when this stream has had events; how many in a row ended within a second
	// of them, or had none, and why; whether one of many jobs ever had.
	let polling, proven, brief, barren, why, asked, joint;
	// Snapshots since one failed; whether many jobs were refused nevertheless; one is tried.
	let well, refused, trial;
	const jobs = new Map();
	let streamed = new Set(); // those on the stream
	let given; // the cursor in its URL

	const tell = (now, info = {}) => {
		state = now;
		for (const job of jobs.values())
			for (const tracker of job.trackers)
				if (tracker.state !== now || info.attempt) tracker.tell(now, info);
	};

	const doubtful = () => jobs.size > 1 && (apart.has(key) || (refused && !joint && well >= jobs.size));

	const cut = () => {
		source?.close();
		source = null;
	};

	const open = () => {
		cut();
		if (!hasRoom(origin)) {
			polling ||= "full";
			due = 0;
			return;
		}
		const [job] = jobs.values();
		trial = doubtful();
		streamed = new Set(trial ? [job] : jobs.values());
		const many = streamed.size > 1;
		const to = address(job.url, many ? "/../stream" : "/stream");
		if (many) for (const { id } of streamed) to.searchParams.append("job", id);
		to.searchParams.set("heartbeat", "event");
		given = job.cursor.id;
		if (!many && given) to.searchParams.set("last_event_id", given);
		const mine = (source = new EventSource(to));
		heard = Date.now();
		patience = wait(3000, 3000);
		trim = Infinity;
		proven = false;
		if (!polling) asked = due = Infinity;
		for (const name of ["status", "progress", "complete", "error", "heartbeat"])
			mine.addEventListener(name, (event) => {
				heard = Date.now();
				// Or the connection's own `error`.
				if ("data" in event) hear(event, !many && job);
				else miss(mine.readyState ? "blocked" : "busy");
			});
	};

	const miss = (reason) => {
		// The first try is the browser's, which knows `retry:`; but a proxy may say 0.
		brief = Date.now() - proven < 1000 ? brief + 1 : 0;
		const native = reason === "busy" && !attempt && !barren && !(brief > 1);
		why = reason;
		barren += !proven;
		refused = reason === "blocked" && !proven && well && streamed.size > 1;
		proven = false;
		const most = barren > 1 && Math.min(60000, 10000 * 2 ** barren);
		again = wait(most / 2, most);
		if (!polling) return lose(brief > 1 && 1000, native);
		cut();
	};

	// Snapshots skip events: a good stream has two more tries.
	const poor = () => barren > ([...jobs.values()].some(({ cursor }) => cursor.polled === false) ? 2 : 0);

	const lose = (least, native) => {
		if (++attempt > maxReconnectAttempts) {
			for (const job of jobs.values()) end(job, "attempts");
			return;
		}
		let delay;
		if (native) {
			patience = wait(6000, 6000);
			due = poor() ? wait(0, 500) : Infinity;
		} else {
			cut();
			// Full jitter; little where the server said when.
			delay = least + Math.random() * Math.min(least ? 2000 : 30000, 500 * 2 ** attempt);
			due = wait(delay, delay);
		}
		tell("reconnecting", { attempt, delay });
	};

	const check = () => {
		const now = performance.now();
		const quiet = source && Math.abs(Date.now() - heard);
		if (quiet > silence || (polling && quiet > 10000)) miss("buffered");
		else if (source && !proven && !polling && now > patience) {
			polling = why = "buffered";
			due = 0;
		}
		if (now > due) probe();
		const ready = (now > again || doubtful()) && state === "polling" && !document.hidden && hasRoom(origin);
		if (source ? now > trim : ready) open();
	};

	const ask = async (job, signal, before) => {
		await before;
		// The browser's cache sends the ETag: no preflight.
		const answer = await fetch(address(job.url, ""), { signal, cache: "no-cache" }).catch(() => Response.error());
		return { job, answer, doc: answer.ok && (await answer.json().catch(() => null)) };
	};

	// An EventSource hides the status code.
	const probe = async () => {
		const mine = (asked = {});
		due = Infinity;
		const signal = AbortSignal.any([run.signal, AbortSignal.timeout(9000)]);
		const some = [...jobs.values()].slice(0, ROUND);
		const asks = [];
		const answers = await Promise.all(some.map((job, n) => (asks[n] = ask(job, signal, asks[n - 2]))));
		if (mine !== asked) return; // an event was faster
		let least;
		const found = answers.filter(({ job, answer, doc }) => {
			if (jobs.get(job.id) !== job) return false; // it has left
			const { status, redirected, headers } = answer;
			const final = /40[13]/.test(status) ? "denied" : /40[04]|410/.test(status) && "gone";
			// Proxies say so, too.
			if (final && (!job.last || /json/.test(headers.get("content-type")) || ++job.odd > 4)) end(job, final);
			else if (redirected && !doc) end(job, "denied");
			else if (ENDED.includes(doc?.status)) end(job, "ended", doc);
			else if (doc) {
				// Others have their turn next.
				jobs.delete(job.id);
				jobs.set(job.id, job);
				return true;
			} else least = Math.max(0, Math.min(headers.get("retry-after") * 1000, 3e5)) || 0;
		});
		if (mine !== asked) return; // nobody is left
		if (!found.length) {
			if (least === undefined) due = 0; // on to the others
			else if (!proven) {
				barren = well = 0; // it was the server that was away
				lose(least);
			}
			return;
		}
		attempt = 0;
		let late = false;
		for (const each of found) {
			// The ETag is the cursor, whatever a proxy has added.
			each.id = /[\w-]+-\d+/.exec(each.answer.headers.get("etag"))?.[0];
			const { cursor } = each.job;
			late ||= proven && (cursor.seq ? +/\d+$/.exec(each.id) > cursor.seq : each.doc.updated_at > cursor.time);
		}
		well = found.length === some.length ? well + some.length : 0;
		polling ||= late ? "buffered" : poor() && why;
		due = wait(10000, 15000);
		if (!polling) return source || open();
		if (late) proven = false;
		const pace = document.hidden ? 20000 : 1500;
		due = wait(pace, pace + 1000);
		tell("polling", { reason: polling });
		for (const { job, doc, id } of found) if (mine === asked) show(job, "status", doc, id, true);
	};

	const hear = ({ type, data, lastEventId }, only) => {
		const doc = JSON.parse(data);
		// Last-Event-ID went astray.
		const { id, epoch, polled } = only.cursor ?? {};
		if (!proven && !polled && !doc?.resumed && lastEventId.startsWith(`${epoch}-`) && given !== id) return open();
		attempt = barren = again = 0;
		proven ||= Date.now();
		joint ||= !only;
		polling = asked = null;
		// What was held back once may be so again.
		due = why === "buffered" ? wait(3000, 4000) : Infinity;
		if (state !== "open") tell("open");
		const job = only || jobs.get(doc?.job_id);
		if (doc?.status && jobs.has(job?.id)) show(job, type, doc, lastEventId);
		if (trial) split();
	};

	const show = (job, type, doc, id, polled = false) => {
		const { cursor, last } = job;
		job.odd = 0;
		const ends = ENDED.includes(doc.status);
		const [, epoch, seq] = /(.+)-(\d+)$/.exec(id) ?? [];
		const { progress, updated_at: time } = doc;
		// Without a cursor by the time, unless a clock was set back.
		const seen = epoch && cursor.epoch
			? epoch === cursor.epoch && +seq <= cursor.seq
			: time <= cursor.time &&
				!(progress > last?.progress) &&
				(type === "status" || (time < cursor.time && (cursor.polled || progress < last?.progress)));
		if (seen && !ends) return;
		job.cursor = { id, epoch, seq: +seq, time, polled };
		job.last = doc;
		for (const tracker of job.trackers)
			if (type === "status") tracker.call("onStatus", doc);
			else if (!ends) tracker.call("onProgress", doc);
		if (ends && jobs.has(job.id)) end(job, "ended", doc);
	};

	const end = (job, reason, doc) => {
		jobs.delete(job.id);
		if (!jobs.size) shut(); // before the browser reconnects
		release(job, reason, doc);
	};

	const shut = () => {
		cut();
		clearInterval(timer);
		run?.abort();
		run = asked = null;
		feeds.delete(feed);
	};

	// Where the server knows no stream of many jobs.
	const split = () => {
		apart.add(key);
		const moved = [...jobs.values()];
		jobs.clear();
		shut();
		moved.forEach(enter);
	};

	const begin = () => {
		planned = false;
		if (!jobs.size) return shut();
		if (!run) {
			run = new AbortController();
			for (const name of ["online", "pageshow", "visibilitychange"])
				addEventListener(
					name,
					(event) => {
						if (polling && !document.hidden) due = again = 0;
						if (name === "online" || event.persisted) open();
						else check();
					},
					run,
				);
			timer = setInterval(check, 300 + Math.random() * 200);
			attempt = barren = brief = again = well = 0;
			polling = hasRoom(origin) ? null : "full";
		}
		if (polling) {
			cut();
			due = again = 0;
		} else if (source ? [...jobs.values()].some((job) => !streamed.has(job)) : !(due < Infinity)) open();
	};

	// Once a turn: React mounts twice.
	const plan = () => {
		if (!planned) queueMicrotask(begin);
		planned = true;
	};

	const feed = {
		key,
		jobs,
		streams: () => source,
		add(job) {
			job.feed = feed;
			jobs.set(job.id, job);
			state = "joined";
			plan();
		},
		drop(job) {
			jobs.delete(job.id);
			trim = wait(1000, 2000);
			plan();
		},
		greet({ trackers, last }, tracker) {
			if (!last || !trackers.has(tracker)) return;
			if (polling) tracker.tell("polling", { reason: polling });
			else if (proven) tracker.tell("open", {});
			else state = "joined"; // to be told with the others
			tracker.call("onStatus", last);
		},
	};
	feeds.add(feed);
	return feed;
};

// tabs.js replaces it.
export const wiring = {
	feedFor({ base, id, url, options }) {
		let key = [base, options.silence, options.maxReconnectAttempts].join();
		if (apart.has(key) && hasRoom(`${url.origin}/`, feeds.size)) key += ` ${id}`;
		return [...feeds].find((feed) => feed.key === key && feed.jobs.size < MOST) ?? makeFeed(key, options);
	},
};

const enter = (job) => wiring.feedFor(job).add(job);

export const known = new Map();

export const follow = (url, options, tracker, cursor = {}) => {
	const [, folder, id] = /^(.*?)([^/]*)\/stream\/?$/.exec(url.pathname) ?? [, url.pathname, ""];
	const base = url.origin + folder + url.search;
	const key = [base, id, options.silence, options.maxReconnectAttempts].join();
	const job = known.get(key) ?? { key, url, base, id: decodeURIComponent(id), options, cursor, trackers: new Set(), odd: 0 };
	known.set(key, job);
	job.trackers.add(tracker);
	if (job.trackers.size === 1) enter(job);
	queueMicrotask(() => job.feed.greet(job, tracker));
	return job;
};

export const release = (job, reason, doc) => {
	known.delete(job.key);
	const { trackers } = job;
	job.trackers = new Set(); // who starts again is the first
	for (const tracker of trackers) tracker.close(reason, doc);
};

export const leave = (job, tracker) => {
	job.trackers.delete(tracker);
	if (job.trackers.size) return;
	job.feed.drop(job);
	// Who comes back in this turn finds it.
	queueMicrotask(() => job.trackers.size || known.delete(job.key));
};

export class JobProgressTracker {
	constructor(url, options = {}) {
		url = new URL(url, document.baseURI);
		let job, running, ended;

		const me = {
			call(name, ...values) {
				try {
					options[name]?.(...values);
				} catch (error) {
					reportError(error);
				}
			},
			tell(now, info) {
				me.call("onConnection", (me.state = now), info);
			},
			close(reason, doc) {
				running = false;
				ended = doc;
				if (doc) me.call(doc.status === "completed" ? "onComplete" : "onError", doc);
				me.tell("closed", { reason });
			},
		};

		this.start = () => {
			if (running || ended) return;
			running = true;
			job = follow(url, options, me, job?.cursor);
			me.tell("connecting", {});
		};

		this.stop = () => {
			if (!running) return;
			leave(job, me);
			me.close("stopped");
		};

		this.cancel = async (headers) => {
			const { status } = await fetch(address(url, "/cancel"), { method: "POST", headers });
			// 409: it has ended. A 200 is a login page.
			if (status !== 202 && status !== 409) throw Error(status);
		};
	}
}
