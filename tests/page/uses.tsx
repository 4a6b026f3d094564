// Each export of each module as its users see it, and what they must not get away with.

import { JobProgress as JobProgressElement, JobProgressTracker } from "sseprog";
import type * as whole from "sseprog";
import { JobProgress, useJobProgress, type JobProgressProps } from "sseprog/react";
import type * as react from "sseprog/react";
import {
  defaults,
  jobStore,
  streamUrl,
  type CSRFToken,
  type JobConnection,
  type JobError,
  type JobSnapshot,
  type JobSource,
  type JobStore,
  type StoreOptions,
} from "sseprog/store";
import {
  ENDED,
  type ConnectionInfo,
  type ConnectionState,
  type JobDocument,
  type Status,
  type TrackerOptions,
} from "sseprog/tracker";
import { JobList, type JobAbout, type JobListSummary } from "sseprog/job-list";
import { allowNotifications, announce, tell, words, type NoticeOptions } from "sseprog/notices";
import { shareTabs } from "sseprog/tabs";
import type * as tracker from "sseprog/tracker";
import { useCallback, useSyncExternalStore, type ReactElement } from "react";
import { createRoot } from "react-dom/client";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(equal: Equal<A, B>): void => void equal;

// sseprog

JobProgressElement.words.completed = "Fertig";
// @ts-expect-error there is no such word
JobProgressElement.words.finished = "Fertig";
const element: JobProgressElement = document.createElement("job-progress");
element.addEventListener("job-complete", ({ detail }) => detail.job_id.toUpperCase());
element.addEventListener("job-connection", ({ detail }) => {
  const state: ConnectionState = detail.state;
  return [state, detail.attempt];
});
// @ts-expect-error the document has no such field
element.addEventListener("job-complete", ({ detail }) => detail.percent);
same<whole.JobDocument, JobDocument>(true);
same<whole.Status, Status>(true);
same<whole.TrackerOptions, TrackerOptions>(true);
same<whole.ConnectionInfo, ConnectionInfo>(true);
same<whole.ConnectionState, ConnectionState>(true);
same<typeof whole.JobProgressTracker, typeof tracker.JobProgressTracker>(true);

// sseprog/tracker

const options: TrackerOptions = {
  onStatus: (job) => job.stage,
  onProgress: ({ progress }) => progress?.toFixed(),
  onComplete: (job: JobDocument) => job.details.stages?.map(({ name }) => name),
  onError: ({ details: { code, reference } }) => [code, reference],
  onConnection(state: ConnectionState, { attempt, delay, reason }: ConnectionInfo) {
    return state === "reconnecting" ? (attempt ?? 0) + (delay ?? 0) : reason === "gone";
  },
  maxReconnectAttempts: 3,
  silence: 20_000,
};
const followed = new JobProgressTracker(new URL("https://example.org/jobs/a/stream"), options);
followed.start();
followed.stop();
const cancelled: Promise<void> = followed.cancel({ "X-CSRFToken": "token" });
const over: boolean = ENDED.includes("lost" satisfies Status);
// @ts-expect-error nobody adds a status
ENDED.push("paused");
// @ts-expect-error no such callback
new JobProgressTracker("/jobs/a/stream", { onDone: () => {} });
// @ts-expect-error a tracker is of one job
new JobProgressTracker(null);

// sseprog/job-list and sseprog/notices

JobList.words.done = "{} von {} fertig";
const list: JobList = document.createElement("job-list");
const about: JobAbout = { label: "rows.csv", href: "/files/7" };
list.add("a", about);
list.remove("a");
list.remove();
const named: string | undefined = list.labelOf("a");
list.addEventListener("job-list-change", ({ detail }) => {
  const { total, done, failed, progress }: JobListSummary = detail;
  return [total - done - failed, progress?.toFixed()];
});
element.addEventListener("job-complete", ({ detail }) => {
  list.show(detail);
  tell(detail, named);
});
// @ts-expect-error a label is a text
list.add("a", { label: 7 });
// @ts-expect-error a whole document
list.show({ job_id: "a" });
const notices: NoticeOptions = { title: true, link: ({ job_id }) => `/results/${job_id}` };
const silent: () => void = announce({ ...notices, toast: true, notification: true });
const allowed: Promise<boolean> = allowNotifications();
words.link = "Ergebnis";
// @ts-expect-error no such notice
announce({ sound: true });

// sseprog/tabs

shareTabs();
shareTabs("user 7");
// @ts-expect-error a name is a text
shareTabs(7);

// sseprog/store

defaults.base = "/api/jobs";
defaults.csrf = () => /token=(\w+)/.exec(document.cookie)?.[1];
// @ts-expect-error a URL is written
defaults.base = new URL("https://example.org");
const token: CSRFToken = "token";
const how: StoreOptions = { base: "/jobs", csrf: token, silence: 20_000, maxReconnectAttempts: 3 };
const store: JobStore = jobStore("a", how);
for (const job of ["a", new URL("https://example.org/jobs/a/stream"), null, undefined] satisfies JobSource[])
  jobStore(job);
const leave: () => void = store.subscribe((job: JobSnapshot) => job.status);
leave();
store.cancel(new Headers()).catch(() => {});
const { status, stage, progress, message, details, eta, isComplete, error, connection, cancel }: JobSnapshot =
  store.get();
same<typeof status, Status | null>(true);
same<typeof progress, number | null>(true);
same<typeof error, JobError | null>(true);
same<typeof connection, JobConnection>(true);
same<typeof cancel, JobStore["cancel"]>(true);
const texts: string[] = [stage, message, details.code ?? "", error?.message ?? "", error?.code ?? ""];
const certain: boolean = isComplete;
const seconds: number = eta ?? 0;
const waits: number | undefined = connection.state === "reconnecting" ? connection.delay : connection.attempt;
const url: string = streamUrl(new URL("https://example.org/jobs/a/stream")) + streamUrl("a", "/api");
const first: JobSnapshot = store.getInitial();
// @ts-expect-error it is frozen
first.progress = 100;
// @ts-expect-error and all that is in it
first.details.code = "done";
// @ts-expect-error it may be null
progress.toFixed();
// @ts-expect-error no such status
if (status === "done") cancel();
// @ts-expect-error no such reason
if (connection.reason === "failed") cancel();
// @ts-expect-error a job is told by its id
jobStore(7);
// @ts-expect-error no such option
jobStore("a", { url: "/jobs" });
// @ts-expect-error no job has no stream
streamUrl(null);

// sseprog/react

same<react.JobSnapshot, JobSnapshot>(true);
same<react.JobSource, JobSource>(true);
same<react.JobError, JobError>(true);
same<react.JobConnection, JobConnection>(true);
same<react.StoreOptions, StoreOptions>(true);
same<react.CSRFToken, CSRFToken>(true);

function Line({ job }: { job: JobSource }): ReactElement {
  const state = useJobProgress(job, { csrf: () => "token" });
  // @ts-expect-error no such field
  state.percent;
  // @ts-expect-error no such option
  useJobProgress(job, { onComplete: () => {} });
  const stop = useCallback(() => state.cancel(), [state.cancel]);
  return <button onClick={stop}>{state.progress ?? "…"} %</button>;
}

function ByHand({ job }: { job: JobStore }): ReactElement {
  const { stage } = useSyncExternalStore(job.subscribe, job.get, job.getInitial);
  return <>{stage}</>;
}

const props: JobProgressProps = { job: null, label: undefined, onError: ({ message }) => alert(message) };

function Page({ id }: { id?: string }): ReactElement {
  return (
    <>
      <Line job={id} />
      <ByHand job={store} />
      <JobProgress {...props} />
      <JobProgress
        job={id}
        key={id}
        base="/api/jobs"
        csrf={() => null}
        label="rows.csv"
        cancellable={!!id}
        className="wide"
        style={{ margin: 0 }}
        data-row="1"
        ref={(node) => void node?.getAttribute("state")}
        onStatus={({ stage }) => stage}
        onProgress={({ progress }) => progress}
        onComplete={({ job_id }) => location.assign(`/results/${job_id}`)}
        onConnection={({ state, reason }) => [state, reason]}
        onClick={(event) => event.preventDefault()}
      >
        <a href="/result">The result</a>
      </JobProgress>
      <job-progress
        ref={(node) => void node?.getAttribute("state")}
        key="element"
        src="/jobs/a/stream"
        label="rows.csv"
        cancellable
        csrf-token="token"
        class="wide"
        hidden={false}
        onjob-complete={({ detail }) => detail.stage}
      >
        below
      </job-progress>
      {/* @ts-expect-error it needs a job, or null */}
      <JobProgress label="rows.csv" />
      {/* @ts-expect-error the component's word is job */}
      <JobProgress job={id} src="/jobs/a/stream" />
      {/* @ts-expect-error it is given a document, not an event */}
      <JobProgress job={id} onError={(event) => event.preventDefault()} />
      {/* @ts-expect-error React 18 would write "false", which is a yes */}
      <job-progress cancellable={false} />
      {/* @ts-expect-error no such attribute */}
      <job-progress job="a" />
    </>
  );
}

createRoot(document.body).render(<Page id="a" />);

export { allowed, cancelled, certain, over, seconds, silent, texts, url, waits };
