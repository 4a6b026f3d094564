/**
 * A hook that follows a job, and `<job-progress>` as a component. For React 18 and 19, on servers too.
 *
 * They share connections with each other, and with all that follows jobs on the page.
 */

import type {
  ClassAttributes,
  ForwardRefExoticComponent,
  HTMLAttributes,
  ReactNode,
  RefAttributes,
} from "react";
import type { JobProgress as JobProgressElement } from "./sseprog.js";
import type { CSRFToken, JobSnapshot, JobSource, StoreOptions } from "./store.js";
import type { ConnectionInfo, ConnectionState, JobDocument } from "./tracker.js";

export type {
  CSRFToken,
  JobConnection,
  JobError,
  JobSnapshot,
  JobSource,
  StoreOptions,
} from "./store.js";

/**
 * Follow a job, by its id or its stream's URL, while the component is mounted. `null` is no job.
 *
 * The options may be a new object each time; another `base`, `silence` or `maxReconnectAttempts` is
 * another job. On a server, and while its page is hydrated, the job is `connecting`.
 */
export function useJobProgress(job: JobSource, options?: StoreOptions): JobSnapshot;

export interface JobProgressProps
  extends Omit<
    HTMLAttributes<HTMLElement>,
    "onProgress" | "onError" | "dangerouslySetInnerHTML" | "suppressHydrationWarning"
  > {
  /** As for `useJobProgress`. Nothing is drawn where there is none. */
  job: JobSource;
  /** As in `StoreOptions`. */
  base?: string | undefined;
  /** As in `StoreOptions`; read when the job is cancelled. */
  csrf?: CSRFToken | undefined;
  /** What the job is about; also its name for screen readers. */
  label?: string | undefined;
  /** Show a button that cancels the job. */
  cancellable?: boolean | undefined;
  /** Shown below the bar: a link to the result, for instance. */
  children?: ReactNode;
  /** The state where the stream begins, and after a gap. */
  onStatus?: ((job: JobDocument) => void) | undefined;
  onProgress?: ((job: JobDocument) => void) | undefined;
  /** The job succeeded. Called once. */
  onComplete?: ((job: JobDocument) => void) | undefined;
  /** The job failed, was cancelled or was lost. Called once; never for a lost connection. */
  onError?: ((job: JobDocument) => void) | undefined;
  onConnection?: ((connection: { state: ConnectionState } & ConnectionInfo) => void) | undefined;
}

/**
 * Draw a job by the element `<job-progress>`, which this loads in the browser. What is not listed above
 * is the element's: `className`, `style`, `id`, `onClick`, `ref`. Another `job` starts anew.
 */
export const JobProgress: ForwardRefExoticComponent<
  JobProgressProps & RefAttributes<JobProgressElement>
>;

/** The attributes of the element itself, in JSX. React 19 knows its events, such as `onjob-complete`. */
interface ElementAttributes extends HTMLAttributes<HTMLElement>, ClassAttributes<HTMLElement> {
  class?: string | undefined;
  src?: string | undefined;
  label?: string | undefined;
  /** No `false`: React 18 writes it as text, and any text is a yes. */
  cancellable?: true | "" | undefined;
  "csrf-token"?: string | undefined;
  "onjob-status"?(event: CustomEvent<JobDocument>): void;
  "onjob-progress"?(event: CustomEvent<JobDocument>): void;
  "onjob-complete"?(event: CustomEvent<JobDocument>): void;
  "onjob-error"?(event: CustomEvent<JobDocument>): void;
  "onjob-connection"?(event: CustomEvent<{ state: ConnectionState } & ConnectionInfo>): void;
}

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "job-progress": ElementAttributes;
    }
  }
}
