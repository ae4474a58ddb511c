/** Everything that followed from one request, as a tree of causes. */
import { api, body } from "../api/client.ts";
import { shortPosition } from "../api/position.ts";
import { useResource } from "../api/resource.ts";
import { sayEvent } from "../parts/event.ts";
import { Empty, Shown } from "../parts/states.tsx";
import { at } from "../time/clock.ts";
import { count, several } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import { recordHref } from "./records.tsx";
import { type Item, Subject } from "./subject.tsx";
import { type Row, tree } from "./tree.ts";

const PAGE_ROWS = 200;
const PAGES_MAX = 5;

interface Read {
    items: Item[];
    position: string;
    isComplete: boolean;
}

async function readAll(correlation_id: string, moment: string | null, signal: AbortSignal): Promise<Read> {
    const items: Item[] = [];
    let cursor: string | undefined;
    let position = "";
    for (let page = 0; page < PAGES_MAX; page += 1) {
        const query = { correlation_id, order: "asc" as const, limit: PAGE_ROWS, cursor, ...(moment ? { to: moment } : {}) };
        const list = await body(api.GET("/audit", { signal, params: { query } }));
        items.push(...list.items);
        position = list.at_position;
        cursor = list.next_cursor ?? undefined;
        if (!cursor) return { items, position, isComplete: true };
    }
    return { items, position, isComplete: false };
}

export function CausationTree({ correlation }: { correlation: string }) {
    const moment = at.value;
    const read = useResource(`tree ${correlation} ${moment}`, signal => readAll(correlation, moment, signal));
    return (
        <Shown of={read}>
            {({ items, position, isComplete }) => {
                if (items.length === 0) return <Empty title="No event has this correlation" />;
                const rows = tree(items);
                return (
                    <>
                        <p class="muted">
                            {isComplete ? "" : "The first "}{several(items.length, "event")} in {several(rows.length, "record")}, up to #{shortPosition(position)}.
                            Each stands below what led to it.
                        </p>
                        <ol class="causes" aria-label="Chain of causes">{rows.map(row => <Record key={row.position} row={row} />)}</ol>
                    </>
                );
            }}
        </Shown>
    );
}

function Record({ row }: { row: Row<Item> }) {
    const first = row.events[0];
    if (!first) return null;
    return (
        <li class={`cause depth-${row.depth}`}>
            {row.events.map(item => (
                <p key={item.position}>
                    <a class="strong" href={recordHref(item.position)}>{sayEvent(item.type, item.event)}</a> · <Subject item={item} />
                    {item.reason && <q class="reason">{item.reason}</q>}
                </p>
            ))}
            <p class="muted small">
                <Time at={first.recorded_at ?? first.stored_at} /> · {first.actor ?? "unknown"} · #{shortPosition(row.position)}
                {row.cause && <> · because of #{shortPosition(row.cause)}</>}
                {row.consequences > 1 && <> · led to {count(row.consequences)} records</>}
            </p>
        </li>
    );
}
