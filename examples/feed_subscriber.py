"""Follows Waybill's public feed: first stored events, then new ones. See README.md for how to run it.

Each message is one CloudEvents 1.0 event in NATS binary mode: its attributes are headers (ce-id, ce-type, ce-time, ...), its body is
JSON. The subject is feed.{tenant}.{aggregate}.{event}, so `--subject 'feed.default.campaign.>'` follows one tenant's campaigns.

Messages are read by direct get, which needs no consumer on the server: store the last sequence number and continue after it. With
`--consumer` they come from a durable consumer, which stores the position on the server and delivers one tenant's events only.
"""

import argparse
import asyncio
import json
import os

import nats
import nats.errors
from nats.js.errors import NotFoundError

# Pause when the end of the feed is reached and nothing new was announced, in seconds.
IDLE_SECONDS = 5
# Messages per request.
PULL_MESSAGES = 100


def show(sequence: int, subject: str, headers: dict, body: bytes) -> None:
    event = json.loads(body) if body else {}
    print(f"{sequence:>8} {headers.get('ce-time', ''):<32} {subject:<44} {headers.get('ce-subject', ''):<20} {json.dumps(event)}", flush=True)


async def follow(args: argparse.Namespace) -> None:
    client = await nats.connect(args.server, user=args.user, password=args.password)
    stream = client.jetstream(domain="waybill")
    # The live subscription only signals that there are new events; they are read by direct get.
    news = asyncio.Event()

    async def announce(_message) -> None:
        news.set()

    await client.subscribe(args.subject, cb=announce)
    sequence = args.start
    shown = 0
    while args.count is None or shown < args.count:
        news.clear()
        try:
            message = await stream.get_msg("FEED", seq=sequence, subject=args.subject, direct=True, next=True)
        except NotFoundError:
            if args.once:
                break
            try:
                await asyncio.wait_for(news.wait(), IDLE_SECONDS)
            except asyncio.TimeoutError:
                pass
            continue
        show(message.seq, message.subject, message.headers or {}, message.data)
        sequence = message.seq + 1
        shown += 1
    await client.close()


async def pull(args: argparse.Namespace) -> None:
    client = await nats.connect(args.server, user=args.user, password=args.password)
    stream = client.jetstream(domain="waybill")
    consumer = await stream.pull_subscribe_bind(args.consumer, stream="FEED")
    shown = 0
    while args.count is None or shown < args.count:
        wanted = PULL_MESSAGES if args.count is None else min(PULL_MESSAGES, args.count - shown)
        try:
            messages = await consumer.fetch(wanted, timeout=1 if args.once else IDLE_SECONDS)
        except nats.errors.TimeoutError:
            if args.once:
                break
            continue
        for message in messages:
            show(message.metadata.sequence.stream, message.subject, message.headers or {}, message.data)
            # An unacknowledged message is delivered again after 30 s.
            await message.ack()
            shown += 1
    await client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Prints Waybill's public feed")
    parser.add_argument("--server", default=os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
    parser.add_argument("--user", default=os.environ.get("NATS_USER", "analyst"))
    parser.add_argument("--password", default=os.environ.get("NATS_PASSWORD", "analyst"))
    parser.add_argument("--subject", default="feed.>")
    parser.add_argument("--from", dest="start", type=int, default=1, help="sequence number of the feed to begin at")
    parser.add_argument("--consumer", help="pull from this consumer, such as default_reports, instead")
    parser.add_argument("--count", type=int, help="stop after this many events")
    parser.add_argument("--once", action="store_true", help="stop at the end of the stored events")
    try:
        args = parser.parse_args()
        asyncio.run(pull(args) if args.consumer else follow(args))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
