/** Draw a job, `<job-progress>`; and follow it, by `JobProgressTracker`. */

import type { ConnectionInfo, ConnectionState, JobDocument } from "./tracker.js";

export { JobProgressTracker } from "./tracker.js";
export type {
  ConnectionInfo,
  ConnectionState,
  JobDocument,
  Status,
  TrackerOptions,
} from "./tracker.js";

/**
 * `<job-progress src="/jobs/ID/stream" label="holiday.mov" cancellable csrf-token="…">`
 *
 * | attribute     |                                                                            |
 * |---------------|----------------------------------------------------------------------------|
 * | `src`         | the job's stream                                                           |
 * | `label`       | what the job is about; also its name for screen readers                    |
 * | `cancellable` | show a button that cancels the job                                         |
 * | `csrf-token`  | sent as `X-CSRFToken` when the job is cancelled                            |
 * | `state`       | written by the element: `connecting`, the job's status, `gone`, `denied` |
 *
 * Events bubble and cross shadow roots: `job-status`, `job-progress`, `job-complete` and `job-error`
 * have the document as `detail`; `job-connection` has a `ConnectionInfo` with its `state`.
 *
 * What is put inside the element is shown below the bar: a link to the result, for instance.
 *
 * | variable            | default                                                              |
 * |---------------------|----------------------------------------------------------------------|
 * | `--sseprog-accent`  | indigo; the bar while the job runs                                   |
 * | `--sseprog-ink`     | the colour of what matters                                           |
 * | `--sseprog-surface` | the card                                                             |
 * | `--sseprog-radius`  | 1rem                                                                 |
 * | `--sseprog-font`    | .875rem/1.45 system-ui, sans-serif                                   |
 *
 * Parts: `head`, `title`, `label`, `stage`, `percent`, `track`, `bar`, `foot`, `message`, `end`, `eta`,
 * `cancel`, `reference`, `hint` (about the connection), `stages`, `step`.
 *
 * It is dark where the page's `color-scheme` is: pages that have a dark mode say
 * `<meta name="color-scheme" content="light dark">`.
 */
export class JobProgress extends HTMLElement {
  /** What the element says, to be replaced before the first one is drawn. */
  static words: Record<
    | "connecting"
    | "pending"
    | "stalled"
    | "completed"
    | "failed"
    | "cancelled"
    | "lost"
    | "left"
    | "cancel"
    | "cancelling"
    | "uncancelled"
    | "reference"
    | "label"
    | "reconnecting"
    | "gone"
    | "denied"
    | "attempts",
    string
  >;
}

declare global {
  interface HTMLElementTagNameMap {
    "job-progress": JobProgress;
  }
  interface HTMLElementEventMap {
    "job-status": CustomEvent<JobDocument>;
    "job-progress": CustomEvent<JobDocument>;
    "job-complete": CustomEvent<JobDocument>;
    "job-error": CustomEvent<JobDocument>;
    "job-connection": CustomEvent<{ state: ConnectionState } & ConnectionInfo>;
  }
}
