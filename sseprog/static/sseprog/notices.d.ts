/** Tell people how jobs go who look elsewhere: in the title, by toasts, by notifications. */

import type { JobDocument } from "./tracker.js";

export interface NoticeOptions {
  /** `(42%) ` before the page's title while jobs run: all jobs that were seen since the last rest. */
  title?: boolean;
  /**
   * A line at the bottom of the page for each job that ends, with a button that dismisses it; four at
   * most. Success is seen for ten seconds of a visible page, longer under the pointer or the focus.
   */
  toast?: boolean;
  /**
   * The system's notification for each job that ends while the page is hidden, one at a time; if
   * `allowNotifications()` was allowed to.
   */
  notification?: boolean;
  /**
   * Where a job's result is, http or https. Without it `details.url` or `details.result` of the
   * document, if that is a path or a URL of this site: a document is data, and may hold what users
   * wrote.
   */
  link?(job: JobDocument): string | null | undefined;
}

/**
 * Listens to the `job-*` events of all elements of the document until the function that it returns is
 * called, which takes away all that it has put there. A job that had ended when it was first seen is
 * no news.
 */
export function announce(options: NoticeOptions): () => void;

/** Asks for the permission to notify. To be called where a person has clicked. */
export function allowNotifications(): Promise<boolean>;

/** Says what `announce` would hear from an element: for all four callbacks of a tracker. */
export function tell(job: JobDocument, label?: string): void;

/** What it says, to be put into another language. */
export const words: Record<"completed" | "failed" | "cancelled" | "lost" | "link" | "close", string>;
