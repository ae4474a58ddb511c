// Follows Waybill's public feed: first stored events, then new ones. See README.md for how to run it.
//
// Each message is one CloudEvents 1.0 event in NATS binary mode: its attributes are headers (ce-id, ce-type, ce-time, …), its body is JSON.
// Messages are read by direct get, which needs no consumer on the server: store the last sequence number and continue after it. With
// --consumer they come from a durable consumer, which stores the position on the server.

import { parseArgs } from "node:util";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";

// Longest wait for news at the end of the feed, and for messages of a consumer, in milliseconds.
const IDLE_MS = 5000;
const PULL_MESSAGES = 100;

const { values: args } = parseArgs({
  options: {
    subject: { type: "string", default: "feed.>" },
    from: { type: "string", default: "1" },
    consumer: { type: "string" },
    count: { type: "string" },
    once: { type: "boolean", default: false },
  },
});
const wanted = args.count === undefined ? Infinity : Number(args.count);

const client = await connect({
  servers: process.env.NATS_URL ?? "nats://127.0.0.1:4222",
  user: process.env.NATS_USER ?? "analyst",
  pass: process.env.NATS_PASSWORD ?? "analyst",
});
const options = { domain: "waybill" };
await (args.consumer ? pull() : follow());
await client.close();

function show(sequence, message) {
  const header = (name) => message.header?.get(name) ?? message.headers?.get(name) ?? "";
  console.log(String(sequence).padStart(8), header("ce-time"), message.subject, header("ce-subject"), new TextDecoder().decode(message.data));
}

// From a sequence number on. The live subscription only signals that there are new events.
async function follow() {
  // Without a look at the account, which an analyst may not take.
  const manager = await jetstreamManager(client, { ...options, checkAPI: false });
  let news = () => {};
  client.subscribe(args.subject, { callback: () => news() });
  let sequence = Number(args.from);
  for (let shown = 0; shown < wanted; ) {
    const announced = new Promise((resolve) => (news = resolve));
    const message = await manager.direct.getMessage("FEED", { seq: sequence, next_by_subj: args.subject });
    if (message) {
      show(message.seq, message);
      sequence = message.seq + 1;
      shown += 1;
    } else if (args.once) {
      break;
    } else {
      await Promise.race([announced, new Promise((resolve) => setTimeout(resolve, IDLE_MS))]);
    }
  }
}

// From a durable consumer, made over REST: POST /api/v1/feed/consumers.
async function pull() {
  const consumer = await jetstream(client, options).consumers.get("FEED", args.consumer);
  for (let shown = 0; shown < wanted; ) {
    const messages = await consumer.fetch({ max_messages: Math.min(PULL_MESSAGES, wanted - shown), expires: IDLE_MS });
    let came = 0;
    for await (const message of messages) {
      show(message.seq, message);
      // An unacknowledged message is delivered again after 30 s.
      message.ack();
      came += 1;
    }
    shown += came;
    if (args.once && came === 0) break;
  }
}
