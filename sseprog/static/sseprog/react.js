"use client";
// Explained in react.d.ts.

import { createElement, forwardRef, useEffect, useInsertionEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { jobStore, streamUrl, tokenFor } from "./store.js";

// What was given last, to what is called later.
const useLatest = (value) => {
	const latest = useRef(value);
	useInsertionEffect(() => {
		latest.current = value;
	});
	return latest;
};

export const useJobProgress = (job, options = {}) => {
	const latest = useLatest(options);
	const { base, silence, maxReconnectAttempts } = options;
	const store = useMemo(
		() => jobStore(job, { base, silence, maxReconnectAttempts, csrf: () => latest.current.csrf }),
		[job && String(job), base, silence, maxReconnectAttempts],
	);
	return useSyncExternalStore(store.subscribe, store.get, store.getInitial);
};

const EVENTS = {
	"job-status": "onStatus",
	"job-progress": "onProgress",
	"job-complete": "onComplete",
	"job-error": "onError",
	"job-connection": "onConnection",
};

export const JobProgress = forwardRef((props, theirs) => {
	const { job, base, csrf, cancellable, hidden, className, ...rest } = props;
	const latest = useLatest(props);
	useEffect(() => {
		import("./sseprog.js"); // a server has no use for it
	}, []);
	// An effect would come after the first event.
	const [attach] = useState(() => {
		const hear = ({ type, target, currentTarget, detail }) => {
			if (target === currentTarget) latest.current[EVENTS[type]]?.(detail);
		};
		// Before the element's own listener, which reads the token.
		const click = ({ currentTarget }) => {
			const token = tokenFor(latest.current.job, latest.current) ?? latest.current["csrf-token"];
			if (token) currentTarget.setAttribute("csrf-token", token);
			else currentTarget.removeAttribute("csrf-token");
		};
		return (node) => {
			for (const type in EVENTS) node?.addEventListener(type, hear);
			node?.addEventListener("click", click, true);
		};
	});
	const src = job && streamUrl(job, base);
	const ref = useMemo(
		() => (node) => {
			attach(node);
			// What a server has written stays, whatever its base.
			if (node && node.getAttribute("src") !== src) node.setAttribute("src", src);
			if (typeof theirs === "function") return theirs(node);
			if (theirs) theirs.current = node;
		},
		[theirs, src],
	);
	for (const type in EVENTS) delete rest[EVENTS[type]];
	if (!job) return null;
	return createElement("job-progress", {
		...rest,
		src,
		// React 18 writes false as text, and className as it is.
		cancellable: cancellable ? "" : undefined,
		hidden: hidden || undefined,
		class: className,
		suppressHydrationWarning: true, // about the state, which the element writes
		ref,
	});
});
JobProgress.displayName = "JobProgress";
