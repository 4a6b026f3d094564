/** Draw many jobs as one table, `<job-list>`, and follow them. */

import type { ConnectionInfo, ConnectionState, JobDocument } from "./tracker.js";

/** What is known of a job beside its state. */
export interface JobAbout {
  /** What the job is about. Default: its id. */
  label?: string;
  /** Where the label leads to. It is as trusted as any link of the page. */
  href?: string;
}

/** What the jobs of a list amount to. */
export interface JobListSummary {
  total: number;
  /** Those that succeeded. */
  done: number;
  /** Those that failed or were lost. */
  failed: number;
  /**
   * Percent of all, where a job that has ended is 100 and one that tells nothing is 0. Those that are
   * not known, or may not be seen, are left out; `null` if there are no others.
   */
  progress: number | null;
}

/**
 * `<job-list label="Transcodings" jobs="ID ID" cancellable csrf-token="…">`
 *
 * | attribute     |                                                                            |
 * |---------------|----------------------------------------------------------------------------|
 * | `jobs`        | ids of jobs to follow, with spaces between                                 |
 * | `base`        | where the jobs are, to be set before them. Default: `/jobs`                |
 * | `label`       | the heading; also the table's name for screen readers                      |
 * | `sort`        | `label`, `status`, `progress` or `eta`, downwards with a `-` before it;    |
 * |               | written by the element when a header is clicked                            |
 * | `cancellable` | show a button in each row that cancels its job                             |
 * | `csrf-token`  | sent as `X-CSRFToken` when a job is cancelled                              |
 *
 * Elements inside with a `data-job`, as `<a data-job="ID" href="/videos/7">holiday.mov</a>`, are jobs
 * too: they are what is seen without JavaScript. They are read when the list comes into a document
 * and when one of `jobs`, `label` and `sort` changes.
 *
 * Events bubble and cross shadow roots. Of the jobs that the list follows, not of those that it is
 * shown, come `job-status`, `job-progress`, `job-complete` and `job-error` with the document as
 * `detail`, and `job-connection` with a `ConnectionInfo`, its `state` and the `job_id`.
 * `job-list-change` has a `JobListSummary`, four times a second at most, and none while the page
 * isn't seen.
 *
 * However many updates come, it paints once a frame, and only what has changed of the rows in sight;
 * only those have nodes. It sorts four times a second at most, and not while the pointer is on a
 * button that cancels. A row takes its focus along when it moves.
 *
 * | variable                | default                                                          |
 * |-------------------------|------------------------------------------------------------------|
 * | `--sseprog-list-height` | 75vh; what is longer is scrolled inside                          |
 *
 * and those of `<job-progress>`. A list less than 44rem wide has rows of three lines.
 *
 * Parts: `head`, `about`, `title`, `summary`, `overall`, `track`, `filter`, `only` (the choice of a
 * status), `scroll`, `table`, `columns`, `column`, `sort`, `body`, `row` (and its status, as in
 * `::part(row failed)`), `name`, `label`, `what`, `status`, `message`, `how`, `bar`, `percent`,
 * `eta`, `action`, `cancel`, `none`.
 */
export class JobList extends HTMLElement {
  /** What the element says, to be replaced before the first one is made. */
  static words: Record<
    | "title"
    | "filter"
    | "all"
    | "label"
    | "status"
    | "progress"
    | "eta"
    | "connecting"
    | "running"
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
    | "gone"
    | "denied"
    | "reconnecting"
    | "done"
    | "failures"
    | "cancellations"
    | "unknown"
    | "none"
    | "unmatched",
    string
  >;
  /** Follows a job, or says more about it. All jobs of a page share streams; see `JobProgressTracker`. */
  add(id: string, about?: JobAbout): void;
  /** Forgets a job, which goes on. */
  remove(id: string): void;
  /** Takes the list itself out of the document, as of every element. */
  remove(): void;
  /** Draws a job that is known from elsewhere, as often as it changes. */
  show(job: JobDocument, about?: JobAbout): void;
  /** What a job is about. */
  labelOf(id: string): string | undefined;
}

declare global {
  interface HTMLElementTagNameMap {
    "job-list": JobList;
  }
  interface HTMLElementEventMap {
    "job-status": CustomEvent<JobDocument>;
    "job-progress": CustomEvent<JobDocument>;
    "job-complete": CustomEvent<JobDocument>;
    "job-error": CustomEvent<JobDocument>;
    "job-connection": CustomEvent<{ state: ConnectionState } & ConnectionInfo>;
    "job-list-change": CustomEvent<JobListSummary>;
  }
}
