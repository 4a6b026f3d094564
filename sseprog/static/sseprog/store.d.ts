/**
 * A job as a value that changes: for React's `useSyncExternalStore` (`react.js` has the hook), Svelte's
 * `$store`, and whatever else has a use for `subscribe` and `get`.
 *
 * Nothing is asked for before somebody subscribes, and nothing where there is no browser.
 */

import type { ConnectionInfo, ConnectionState, JobDocument, Status } from "./tracker.js";

/**
 * A job by its id, or by the URL of its stream, which has a `/` in it and ends in `/stream`. `null`,
 * `undefined` and `""` stand for no job: nothing is asked for.
 */
export type JobSource = string | URL | null | undefined;

export interface StoreOptions {
  /** Where the job of a bare id is. Default: `defaults.base`. */
  base?: string | undefined;
  /**
   * The token that `cancel()` sends as `X-CSRFToken`, as Django and Flask-WTF want it, or what returns
   * it when it is needed. Default: `defaults.csrf`. Not sent to another origin than that of `base`: an
   * id that came from outside may be a URL of elsewhere.
   */
  csrf?: CSRFToken | undefined;
  /** As in `TrackerOptions`. */
  silence?: number | undefined;
  /** As in `TrackerOptions`. */
  maxReconnectAttempts?: number | undefined;
}

export type CSRFToken = string | (() => string | null | undefined);

/** What all stores of a page take if their options say nothing; set it before the first is made. */
export const defaults: {
  /** Default: `/jobs`, so that the id `a` is followed at `/jobs/a/stream`. */
  base: string;
  csrf?: CSRFToken | undefined;
};

/** Why a job did not complete. A lost connection is no such thing: see `connection`. */
export interface JobError {
  /** For people. */
  readonly message: string;
  /** For programs: the `code` in the job's details, or its status. */
  readonly code: string;
}

/** What is known of the connection; as `onConnection` is told. */
export interface JobConnection {
  /** `idle`: there is no job to follow. `connecting` also before somebody subscribes. */
  readonly state: ConnectionState | "idle";
  /** Failures since the last event, while `reconnecting`. */
  readonly attempt?: ConnectionInfo["attempt"] | undefined;
  /** Milliseconds to the next attempt, or undefined while the browser is retrying. */
  readonly delay?: ConnectionInfo["delay"] | undefined;
  /** Why it is `polling` or `closed`: a job that is not known is `gone`, for instance. */
  readonly reason?: ConnectionInfo["reason"] | undefined;
}

/** A job at one moment. It is frozen, and the same object until something changes. */
export interface JobSnapshot {
  /** `null` before anything is known: while `connection.state` is `connecting`, or `idle`. */
  readonly status: Status | null;
  readonly stage: string;
  /** Percent of the whole job, or `null` where it can't be known. */
  readonly progress: number | null;
  readonly message: string;
  readonly details: Readonly<JobDocument["details"]>;
  /** Seconds left when this was sent, or `null`. */
  readonly eta: number | null;
  /** The job succeeded. It has ended, well or not, when this is true or there is an `error`. */
  readonly isComplete: boolean;
  /** Set once the job has failed, was cancelled or is lost, and never for a lost connection. */
  readonly error: JobError | null;
  readonly connection: JobConnection;
  /** The store's. */
  readonly cancel: JobStore["cancel"];
}

export interface JobStore {
  /**
   * Calls `fn` with the snapshot, now and whenever it changes; returns what ends that. The job is
   * followed while there is a subscriber to any of its stores.
   *
   * Progress comes once a frame at most (once a second where the page is not seen), a new status and
   * the end at once. What `fn` throws later is reported (`reportError`).
   */
  subscribe(fn: (job: JobSnapshot) => void): () => void;
  /** What subscribers were last told. */
  get(): JobSnapshot;
  /** What `get()` says before anything is known: for servers, and for what they have rendered. */
  getInitial(): JobSnapshot;
  /**
   * Asks the server to cancel the job; the end comes as an event. Rejects if it won't; does nothing if
   * there is no job. A CSRF token in `headers` is taken before that of the options.
   */
  cancel(headers?: HeadersInit): Promise<void>;
}

/**
 * Make a store. Those of one URL share what they know, and one tracker; all of a page share streams,
 * as trackers do. After the last subscriber the job is no longer followed, and the snapshot stays.
 */
export function jobStore(job: JobSource, options?: StoreOptions): JobStore;

/** Return the URL of a job's stream: for the `src` of a `<job-progress>`. */
export function streamUrl(job: string | URL, base?: string): string;
