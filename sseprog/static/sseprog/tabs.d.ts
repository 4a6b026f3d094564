/** One stream for all tabs of a browser. */

/**
 * From now on, one tab follows the jobs of all tabs of this origin that have called this, and tells
 * the others: without it, six tabs with a stream each use up all connections that a browser opens to
 * a host over HTTP/1.1, and the seventh doesn't load. Call it before the first job is followed;
 * or load the module as `tabs.js?share`, before those that follow jobs.
 *
 * The tab that leads holds a lock (Web Locks) and speaks by a `BroadcastChannel`, both called `name`.
 * When it is closed or crashes, another leads, and goes on at the cursor that it was told. When it has
 * said nothing for 75 s, because a dialog or a debugger holds it up, one that is seen takes over; so
 * does one that is seen when a hidden one has to poll, which it does rarely.
 *
 * Where there are no locks (pages that come over plain HTTP, but for localhost), each tab has its own
 * stream, as without. All tabs are to be signed in as the same user: use another `name` for each.
 */
export function shareTabs(name?: string): void;
