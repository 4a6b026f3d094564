// Read a JSON array of base64 slices per line; answer with what eventsource-parser makes of them.

import { createInterface } from "node:readline";
import { createParser } from "eventsource-parser";

for await (const line of createInterface({ input: process.stdin })) {
  const seen = { events: [], retries: [], comments: [], errors: [] };
  const parser = createParser({
    onEvent: (event) => seen.events.push(event),
    onRetry: (milliseconds) => seen.retries.push(milliseconds),
    onComment: (comment) => seen.comments.push(comment),
    onError: (error) => seen.errors.push(String(error)),
  });
  const decoder = new TextDecoder();
  for (const slice of JSON.parse(line)) {
    parser.feed(decoder.decode(Buffer.from(slice, "base64"), { stream: true }));
  }
  console.log(JSON.stringify(seen));
}
