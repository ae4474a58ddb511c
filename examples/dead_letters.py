"""Prints the messages of devices that Waybill could not process, with the reason. See README.md for how to run it.

Needs the service's NATS user. `--subject 'dead.default.>'` shows those of one tenant, `dead._.>` those whose tenant is not known. Those of one
tenant are also at GET /api/v1/dead-letters.
"""

import argparse
import asyncio

import nats
from nats.js.errors import NotFoundError


async def show(args: argparse.Namespace) -> None:
    client = await nats.connect(args.server, user=args.user, password=args.password)
    stream = client.jetstream()
    sequence = args.start
    while True:
        try:
            letter = await stream.get_msg("DEAD_LETTERS", seq=sequence, subject=args.subject, direct=True, next=True)
        except NotFoundError:
            break
        headers = letter.headers or {}
        print(f"{letter.seq:>6} {headers.get('Nats-Time-Stamp', '')} {letter.subject}")
        print(f"       from    {headers.get('Waybill-Origin', '')}")
        print(f"       reason  {headers.get('Waybill-Reason', '')}")
        print(f"       payload {headers.get('Waybill-Length', '?')} bytes: {(letter.data or b'')[: args.bytes]!r}")
        sequence = letter.seq + 1
    await client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Prints Waybill's dead letters")
    parser.add_argument("--server", default="nats://127.0.0.1:4222")
    parser.add_argument("--user", default="waybill")
    parser.add_argument("--password", default="waybill")
    parser.add_argument("--subject", default="dead.>")
    parser.add_argument("--from", dest="start", type=int, default=1, help="sequence number to begin at")
    parser.add_argument("--bytes", type=int, default=200, help="bytes of each payload that are shown")
    asyncio.run(show(parser.parse_args()))


if __name__ == "__main__":
    main()
