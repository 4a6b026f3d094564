/**
 * Follow jobs' events, all of a page on one stream.
 *
 * All times here are in milliseconds, but for a document's `eta`, which is in seconds.
 */

export type Status =
  | "pending"
  | "running"
  | "stalled"
  | "completed"
  | "failed"
  | "cancelled"
  | "lost";

/** A job's whole state: the data of every event. Fields may be added; ignore what you don't know. */
export interface JobDocument {
  job_id: string;
  status: Status;
  stage: string;
  /** Percent of the whole job, or `null` where it can't be known. */
  progress: number | null;
  message: string;
  details: {
    /** A short word for programs, of a job that failed. */
    code?: string;
    /** Where the server's log tells more about an unexpected failure. */
    reference?: string;
    /** All stages, in order, where the emitter knows them beforehand. */
    stages?: { name: string; progress: number | null }[];
    [key: string]: unknown;
  };
  /** Seconds left, or `null`. */
  eta: number | null;
  started_at: string | null;
  updated_at: string | null;
  /** Of a `status` only: `false` says that events were missed and this is the newest state. */
  resumed?: boolean;
}

/**
 * - `connecting`: started.
 * - `open`: an event has come.
 * - `polling`: streams don't come through, so the snapshot is asked for every 1.5 to 3 s. `reason` is
 *   `busy` (streams are ended before they begin, as by a server without room), `buffered` (nothing
 *   comes out of them), `blocked` (they are answered with an error) or `full` (this page has four
 *   streams open, of six connections that a browser has without HTTP/2). Nothing need be said about it.
 * - `reconnecting`: the connection is lost, the job is not. `attempt` counts failures since the last
 *   event or snapshot; `delay` is the time to the next attempt, or undefined while the browser is
 *   retrying.
 * - `closed`: for good, because the job `ended`, `stop()` was called (`stopped`), the server knows no
 *   such job (`gone`) or won't show it (`denied`), or `maxReconnectAttempts` are used up (`attempts`).
 */
export type ConnectionState = "connecting" | "open" | "polling" | "reconnecting" | "closed";

export interface ConnectionInfo {
  attempt?: number;
  delay?: number;
  reason?:
    | "ended"
    | "stopped"
    | "gone"
    | "denied"
    | "attempts"
    | "busy"
    | "buffered"
    | "blocked"
    | "full";
}

export interface TrackerOptions {
  /** The state where the stream begins, after a gap, and at each change seen by polling. */
  onStatus?(job: JobDocument): void;
  /**
   * Each change, in order, none twice; but for those that polling has skipped, or that came while a
   * stream of several jobs was opened again.
   */
  onProgress?(job: JobDocument): void;
  /** The job succeeded. Called once; nothing follows. */
  onComplete?(job: JobDocument): void;
  /** The job failed, was cancelled or was lost. Called once; never for a lost connection. */
  onError?(job: JobDocument): void;
  onConnection?(state: ConnectionState, info: ConnectionInfo): void;
  /** Failures in a row before it gives up. Default: Infinity. */
  maxReconnectAttempts?: number;
  /**
   * A stream this long without an event is dead. Default: 37,500, which is 2.5 heartbeats. It polls
   * when a new stream has had no event for 3,000, and gives it up after 10,000 (or after `silence`).
   */
  silence?: number;
}

/**
 * Follows one job until it ends, whatever happens to the connection.
 *
 * - Trackers of a page share streams. Those of one job are on its own stream; those of jobs below
 *   one URL (`/jobs/a/stream`, `/jobs/b/stream`) on that of many, `/jobs/stream?job=a&job=b`, up to 64
 *   of them, which is opened again when a job comes, and two seconds after one was left. What
 *   differs in its query, `silence` or `maxReconnectAttempts` shares nothing. Where the server has no
 *   stream of many jobs, each gets its own. At most four streams are open, unless the page came over
 *   HTTP/2; what has no place on them is polled, eight jobs in one go and two
 *   requests at a time, until there is one.
 * - The first retry after an event is left to the browser, which knows the server's `retry:`, unless
 *   two streams in a row ended within a second: a proxy may have said `retry: 0`. What
 *   comes after that, and what an `EventSource` gives up on, is retried after 2^n x 500 ms, at most
 *   30 s, times a random number from 0 to 1, so that pages don't all come back in one instant.
 * - Each of these retries asks for the snapshot first (the URL without `/stream`), because an
 *   `EventSource` hides the status code: 404, 401, 403 and a job that has ended are final, a
 *   `Retry-After` in seconds is waited for. Of a job that was there, such a code has to come with JSON,
 *   as ours do, or five times: routers say 404, and firewalls 403, while a server is restarted.
 * - Where streams fail and snapshots don't, it polls: at once if no stream has had an event, after
 *   three failures in a row if one had, because snapshots skip events. (A server that answers
 *   neither is away, and nothing is counted.) `onStatus` is given what has
 *   changed, the browser sends the `ETag` along, and a hidden page asks only every 20 s. Meanwhile a
 *   stream is tried after 20 to 40 s, then every 30 to 60 s, and when the page is seen again or
 *   `online`; its first event ends the polling. It goes on where the snapshots were (their `ETag` is a
 *   cursor), and what is older than the last of them is dropped. Where a stream was once held back, a
 *   snapshot is compared whenever the stream has been quiet for 3 to 4 s.
 * - The stream is asked for `?heartbeat=event`, so that a dead connection can be told from a quiet job,
 *   and for `?last_event_id=`, so that nothing is missed; at once again if a proxy has kept the
 *   browser's `Last-Event-ID` to itself. The URL's other parameters are kept.
 * - What a callback throws is reported (`reportError`), and the stream goes on.
 */
export class JobProgressTracker {
  /** `url` is the job's stream, and ends in `/stream`. Throws a `TypeError` if it is no URL. */
  constructor(url: string | URL, options?: TrackerOptions);
  /** Connects. Does nothing if it is connected, or has seen the end; may follow a `stop()`. */
  start(): void;
  /** Disconnects. The job goes on. */
  stop(): void;
  /** Asks the server to cancel the job; the end comes as an event. Rejects if it won't. */
  cancel(headers?: HeadersInit): Promise<void>;
}

/** The statuses of jobs that have ended. */
export const ENDED: readonly Status[];
