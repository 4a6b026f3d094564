// better-sse on Node's own HTTP server, as its guide to channels does it: node server.mjs PORT

import { createServer } from "node:http";
import { createChannel, createSession } from "better-sse";

const port = Number(process.argv[2]);
const keepAlive = 1000 * Number(process.env.HEARTBEAT ?? "15");
const channels = new Map();

// CLOCK_MONOTONIC, in seconds, which the load client reads as well.
const now = () => Number(process.hrtime.bigint()) / 1e9;

function channelOf(job) {
  if (!channels.has(job)) channels.set(job, createChannel());
  return channels.get(job);
}

function state(job, message) {
  return {
    job_id: `job-${job}`,
    status: "running",
    stage: "importing",
    progress: 50,
    message,
    details: {},
    eta: null,
    started_at: "2026-01-01T00:00:00.000Z",
    updated_at: "2026-01-01T00:00:00.000Z",
  };
}

function publishOnTime({ rate, seconds, jobs }) {
  const last = Math.round(rate * seconds);
  const start = now() + 0.2;
  const due = (count) => start + count / (rate * jobs);
  let count = 0;
  // One event a turn of the loop, so that what was written gets out when events are late.
  function turn() {
    const job = count % jobs;
    const message = `@${Math.round(due(count) * 1e6)},${Math.floor(count / jobs) + 1},${last}@`;
    channelOf(job).broadcast(state(job, message), "progress");
    if (++count < last * jobs) wait();
  }
  function wait() {
    const early = due(count) - now();
    if (early > 0) setTimeout(turn, 1000 * early);
    else setImmediate(turn);
  }
  wait();
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  if (url.pathname === "/start") {
    const { rate, seconds, jobs } = Object.fromEntries(url.searchParams);
    publishOnTime({ rate: Number(rate), seconds: Number(seconds), jobs: Number(jobs) });
    response.writeHead(204).end();
  } else {
    const session = await createSession(request, response, { keepAlive });
    channelOf(Number(url.pathname.split("/").at(-1))).register(session);
  }
});
server.listen({ port, host: "127.0.0.1", backlog: 4096 });
