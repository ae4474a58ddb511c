// What a page gives to the scripts of the documents: `fetch`, `EventSource` and `WebSocket` with a session, the page's address, the `id` of a
// campaign, and `show`. Runs one script against a running Waybill: it must show the campaign, and show it again once the campaign is paused.
//
// Use: node page.mjs SCRIPT, with WAYBILL (base URL), TOKEN and CAMPAIGN_ID in the environment.

import { readFileSync } from "node:fs";
import { EventSource } from "eventsource";
import WebSocket from "ws";

const SHOWN_WITHIN_MS = 20_000;
const { WAYBILL, TOKEN, CAMPAIGN_ID } = process.env;
const headers = { authorization: `Bearer ${TOKEN}` };
const fromPage = url => new URL(url, WAYBILL);

const pageFetch = (url, init) => fetch(fromPage(url), { ...init, headers: { ...init?.headers, ...headers } });

class PageEventSource extends EventSource {
  constructor(url) {
    super(fromPage(url), { fetch: pageFetch });
  }
}

class PageWebSocket extends WebSocket {
  // The server of the test has no TLS.
  constructor(url) {
    super(url.replace(/^wss:/, "ws:"), { headers });
  }
}

const shown = [];
async function show(status) {
  shown.push(status.status);
  if (shown.length === 1) {
    const reply = await pageFetch(`/api/v1/campaigns/${CAMPAIGN_ID}/pause`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ reason: "a change" }),
    });
    if (!reply.ok) throw new Error(await reply.text());
  }
  if (status.status === "paused") process.exit(0);
}

// A later script of a document uses what an earlier one defines.
async function refresh(position) {
  const reply = await pageFetch(`/api/v1/campaigns/${CAMPAIGN_ID}/status?min_position=${position}`);
  if (reply.ok) show(await reply.json());
}

setTimeout(() => {
  console.error(`not within ${SHOWN_WITHIN_MS} ms; shown: ${shown.join(", ") || "nothing"}`);
  process.exit(1);
}, SHOWN_WITHIN_MS);

const page = { fetch: pageFetch, EventSource: PageEventSource, WebSocket: PageWebSocket, location: fromPage("/"), id: CAMPAIGN_ID, show, refresh };
new Function(...Object.keys(page), readFileSync(process.argv[2], "utf8"))(...Object.values(page));
