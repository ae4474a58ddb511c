/** What occurs among the events that match: types, actors and aggregates, each a filter. */
import { api, body } from "../api/client.ts";
import { shortPosition } from "../api/position.ts";
import { useResource } from "../api/resource.ts";
import { query, setQuery } from "../router/location.ts";
import { count, several, words } from "../time/format.ts";
import type { Wanted } from "./filter.ts";

/** Most values of a facet that are shown. */
const VALUES_MAX = 8;

interface Value {
    value: string;
    events: number;
}

/** Counted once for each filter, not at each change. */
export function Facets({ wanted }: { wanted: Wanted }) {
    const { order: _, ...filter } = wanted;
    const found = useResource(`facets ${JSON.stringify(filter)}`, signal => body(api.GET("/audit/facets", { signal, params: { query: filter } })));
    const facets = found.data;
    if (!facets || facets.events === 0) return null;
    return (
        <>
            <Facet title="Types" values={facets.types} parameter="type" />
            <Facet title="Actors" values={facets.actors} parameter="actor" />
            <Facet title="About" values={facets.aggregates} parameter="aggregate" />
            <p class="muted small">Counted up to #{shortPosition(facets.at_position)}{facets.is_complete ? "" : `, among the latest ${several(facets.events, "event")} that match`}.</p>
        </>
    );
}

function Facet({ title, values, parameter }: { title: string; values: readonly Value[]; parameter: string }) {
    const chosen = query.value.get(parameter);
    if (values.length < 2 && !chosen) return null;
    return (
        <div class="chips" role="group" aria-label={title}>
            <span class="muted small">{title}</span>
            {values.slice(0, VALUES_MAX).map(({ value, events }) => (
                <button key={value} class="chip" aria-pressed={chosen === value}
                    onClick={() => setQuery({ [parameter]: chosen === value ? null : value, cursor: null })}>
                    {parameter === "aggregate" ? words(value) : value} <span class="muted">{count(events)}</span>
                </button>
            ))}
            {values.length > VALUES_MAX && <span class="muted small">and {values.length - VALUES_MAX} more</span>}
        </div>
    );
}
