/** The fields of the audit's search. The URL has them. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { useResource } from "../api/resource.ts";
import { Field, Select } from "../parts/field.tsx";
import { query, setQuery } from "../router/location.ts";
import { zone } from "../time/clock.ts";
import { words } from "../time/format.ts";
import { zoneName } from "../time/format.ts";
import { AGGREGATES, inputTime, typedTime } from "./filter.ts";

export function Search() {
    const given = (name: string): string => query.value.get(name) ?? "";
    const change = (changes: Record<string, string | null>): void => setQuery({ ...changes, cursor: null }, { replace: true });
    const [kind = "", id = ""] = split(given("aggregate"));
    const typed = (name: "from" | "to", value: string): void => change({ [name]: value === "" ? null : typedTime(value, offset(value)) });
    const [isUsed, setUsed] = useState(false);
    const shownZone = zoneName(zone.value, new Date());
    return (
        <form class="filters" role="search" onSubmit={event => event.preventDefault()} onFocusCapture={() => setUsed(true)}>
            {isUsed && <EventTypes kind={kind} />}
            <Field label="Actor" type="search" value={given("actor")} placeholder="user:ann" onInput={value => change({ actor: value })} />
            <Select label="About" value={kind} options={[{ value: "", label: "anything" }, ...AGGREGATES.map(value => ({ value, label: words(value) }))]}
                onChange={value => change({ aggregate: join(value, id) })} />
            {kind !== "" && <Field label="Its id" type="search" isFinished value={id} onInput={value => change({ aggregate: join(kind, value) })} />}
            <Field label="Types of events" type="search" isFinished value={given("type")} placeholder="update.failed" list="event-types" onInput={value => change({ type: value })} />
            <Field label={`From (${shownZone})`} type="datetime-local" value={inputTime(given("from"), offset(given("from")))} onInput={value => typed("from", value)} />
            <Field label={`To (${shownZone})`} type="datetime-local" value={inputTime(given("to"), offset(given("to")))} onInput={value => typed("to", value)} />
            <Field label="Correlation" type="search" isFinished value={given("correlation_id")} onInput={value => change({ correlation_id: value })} />
            <Select label="Order" value={given("order")} options={[{ value: "", label: "newest first" }, { value: "asc", label: "oldest first" }]}
                onChange={value => change({ order: value })} />
        </form>
    );
}

/** All types of events, or those of one kind of aggregate, to choose from. */
function EventTypes({ kind }: { kind: string }) {
    const found = useResource("event-types", signal => body(api.GET("/audit/types", { signal })));
    const shown = (found.data?.items ?? []).filter(one => kind === "" || one.aggregate === kind);
    return <datalist id="event-types">{shown.flatMap(one => one.types).map(type => <option key={type} value={type} />)}</datalist>;
}

/** Minutes that the zone is behind UTC at a time. */
function offset(time: string): number {
    if (zone.value === "utc") return 0;
    const at = time === "" ? new Date() : new Date(time);
    return Number.isNaN(at.getTime()) ? 0 : at.getTimezoneOffset();
}

function split(aggregate: string): [kind: string, id: string] {
    const at = aggregate.indexOf("/");
    return at < 0 ? [aggregate, ""] : [aggregate.slice(0, at), aggregate.slice(at + 1)];
}

function join(kind: string, id: string): string {
    return kind === "" ? "" : id === "" ? kind : `${kind}/${id}`;
}
