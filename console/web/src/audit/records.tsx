/** Events that were found, as a table. */
import { shortPosition } from "../api/position.ts";
import { sayEvent } from "../parts/event.ts";
import { Table, type Column } from "../parts/table.tsx";
import { href, path, query } from "../router/location.ts";
import { Time } from "../time/time.tsx";
import { type Item, Subject } from "./subject.tsx";

/** The address of this list with other parameters. */
export function listHref(changes: Record<string, string | null>): string {
    return href(path.value, { ...Object.fromEntries(query.value), cursor: null, record: null, view: null, ...changes });
}

/** The permanent address of an event. */
export function recordHref(position: string): string {
    return href("/audit", { record: position });
}

const COLUMNS: Column<Item>[] = [
    { title: "Time", cell: row => <Time at={row.recorded_at ?? row.stored_at} /> },
    { title: "Event", cell: row => (
        <>
            <a class="strong" href={recordHref(row.position)}>{sayEvent(row.type, row.event)}</a>
            {row.reason && <q class="reason">{row.reason}</q>}
        </>
    ) },
    { title: "About", cell: row => <Subject item={row} /> },
    { title: "Actor", cell: row => (row.actor ? <a href={listHref({ actor: row.actor })}>{row.actor}</a> : <span class="muted">–</span>) },
    { title: "Cause", cell: row => row.correlation_id
        ? <a class="nowrap" href={href("/audit", { correlation_id: row.correlation_id, view: "tree" })}>chain</a>
        : <span class="muted">–</span> },
    { title: "Position", cell: row => <span class="muted">#{shortPosition(row.position)}</span>, isNumber: true },
];

export function Records({ items }: { items: readonly Item[] }) {
    return <Table caption="Events" columns={COLUMNS} rows={items} id={item => item.position} />;
}
