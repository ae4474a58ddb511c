/** Events that were found, as a table, with what occurs among them. */
import { shortPosition } from "../api/position.ts";
import { sayEvent } from "../parts/event.ts";
import { Table, type Column } from "../parts/table.tsx";
import { href, path, query, setQuery } from "../router/location.ts";
import { count } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import { facets } from "./filter.ts";
import { type Item, Subject } from "./subject.tsx";

/** Most values of a facet that are shown. */
const VALUES_MAX = 8;

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
    return (
        <>
            <Facet title="Types on this page" values={facets(items, item => item.type)} parameter="type" />
            <Facet title="Actors on this page" values={facets(items, item => item.actor)} parameter="actor" />
            <Table caption="Events" columns={COLUMNS} rows={items} id={item => item.position} />
        </>
    );
}

function Facet({ title, values, parameter }: { title: string; values: [string, number][]; parameter: string }) {
    const chosen = query.value.get(parameter);
    if (values.length < 2 && !chosen) return null;
    return (
        <div class="chips" role="group" aria-label={title}>
            <span class="muted small">{title}</span>
            {values.slice(0, VALUES_MAX).map(([value, number]) => (
                <button key={value} class="chip" aria-pressed={chosen === value}
                    onClick={() => setQuery({ [parameter]: chosen === value ? null : value, cursor: null })}>
                    {value} <span class="muted">{count(number)}</span>
                </button>
            ))}
            {values.length > VALUES_MAX && <span class="muted small">and {values.length - VALUES_MAX} more</span>}
        </div>
    );
}
