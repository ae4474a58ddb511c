/** What differs between the moment that is looked at and now, as a table. */
import { type Concerns, useResource } from "../api/resource.ts";
import { href, to } from "../router/location.ts";
import { may } from "../session/session.ts";
import { at } from "../time/clock.ts";
import { words } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import { differences, type Difference } from "./difference.ts";
import { Shown } from "./states.tsx";
import { Table, type Column } from "./table.tsx";

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/;
/** What no page compares: what callers may do, and how the service counts changes. */
const SKIPPED = ["allowed_commands", "why_not", "version", "warnings"];

interface Props<T> {
    /** The thing as the audit calls it: its kind and its id. */
    aggregate: string;
    then: T;
    /** What names the read of now. */
    id: string;
    read: (signal: AbortSignal) => Promise<T>;
    live: Concerns;
    /** Names that are left out, because the log alone doesn't know them. */
    skipped: readonly string[];
}

export function Compared<T>({ aggregate, then, id, read, live, skipped }: Props<T>) {
    const present = useResource(id, read, live);
    return (
        <section class="card stack" aria-labelledby="compared">
            <div class="wave-head">
                <h2 id="compared">Then and now</h2>
                {may("auditor") && <a href={href("/audit", { aggregate, from: at.value, at: null })}>What happened since</a>}
            </div>
            <Shown of={present}>{now => <Rows found={differences(then, now, [...SKIPPED, ...skipped])} />}</Shown>
        </section>
    );
}

const COLUMNS: Column<Difference>[] = [
    { title: "What", cell: row => <span class="sentence-case">{row.name.split(".").map(words).join(" · ")}</span> },
    { title: "Before", cell: row => <Value name={row.name} value={row.then} /> },
    { title: "After", cell: row => <span class="strong"><Value name={row.name} value={row.now} /></span> },
];

function Rows({ found }: { found: Difference[] }) {
    if (found.length === 0) return <p class="notice ok"><span><span aria-hidden="true">✓ </span>Nothing has changed since then.</span></p>;
    return <DifferenceTable found={found} before="Then" after="Now" />;
}

export function DifferenceTable({ found, before, after }: { found: Difference[]; before: string; after: string }) {
    const columns = COLUMNS.map(column => ({ ...column, title: column.title === "Before" ? before : column.title === "After" ? after : column.title }));
    return <Table caption="Differences" columns={columns} rows={found} id={row => row.name} />;
}

function Value({ name, value }: { name: string; value: Difference["now"] }) {
    if (value === null) return <span class="muted">–</span>;
    if (typeof value === "boolean") return <>{value ? "yes" : "no"}</>;
    if (typeof value === "string" && RFC_3339.test(value)) return <Time at={value} />;
    if (name === "firmware_id") return <a href={href(to`/firmware/${String(value)}`)}>{value}</a>;
    return <>{name === "status" ? words(String(value)) : value}</>;
}
