/** One event by its position: the permanent address of a record of the log. */
import { api, body } from "../api/client.ts";
import { shortPosition } from "../api/position.ts";
import { useResource } from "../api/resource.ts";
import { Copy } from "../parts/copy.tsx";
import { sayEvent } from "../parts/event.ts";
import { Facts } from "../parts/facts.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { href } from "../router/location.ts";
import { count, words } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import { recordOf } from "./filter.ts";
import { recordHref } from "./records.tsx";
import { type Item, Subject } from "./subject.tsx";

/** Most events of one record. */
const EVENTS_MAX = 200;

export function OneRecord({ position }: { position: string }) {
    const record = recordOf(position);
    const read = useResource(`record ${record}`, signal =>
        body(api.GET("/audit", { signal, params: { query: { at_position: record, limit: EVENTS_MAX } } })));
    return (
        <>
            <p><a href={href("/audit")}>All events</a></p>
            <Shown of={read}>
                {list => {
                    const events = list.items.filter(item => recordOf(item.position) === record).reverse();
                    const chosen = events.find(item => item.position === position) ?? events[0];
                    if (!chosen) return <Empty title={`No event of this tenant is at #${shortPosition(position)}`}><a class="button" href={href("/audit", { at_position: record })}>What was before</a></Empty>;
                    return <Event item={chosen} others={events.filter(item => item !== chosen)} />;
                }}
            </Shown>
        </>
    );
}

function Event({ item, others }: { item: Item; others: readonly Item[] }) {
    const cause = item.causation_position;
    const correlation = item.correlation_id;
    const address = window.location.origin + recordHref(item.position);
    return (
        <div class="columns">
            <section class="card stack" aria-labelledby="event">
                <h2 id="event">{sayEvent(item.type, item.event)}</h2>
                {item.error && <p class="notice bad"><span><span aria-hidden="true">✕ </span>{item.error}</span></p>}
                <Facts facts={[
                    ["About", <Subject item={item} />],
                    ["Actor", item.actor ? <a href={href("/audit", { actor: item.actor })}>{item.actor}</a> : "unknown"],
                    ["Reason", item.reason ? <q>{item.reason}</q> : "none given"],
                    ["Decided", <Time at={item.recorded_at} />],
                    ["Stored", <Time at={item.stored_at} />],
                    ["Position", <code>{item.position}</code>],
                    ["Type", <code>{item.type}</code>],
                    ["Number", `event ${count(item.version)} of this ${words(item.aggregate)}`],
                    ["Cause", cause ? <a href={recordHref(cause)}>#{shortPosition(cause)}</a> : "no earlier event"],
                    ["Correlation", correlation ? <><code class="digest">{correlation}</code> · <a href={href("/audit", { correlation_id: correlation, view: "tree" })}>its chain</a></> : null],
                    ["Command", item.command_id ? <code class="digest">{item.command_id}</code> : null],
                    item.traceparent ? ["Trace", <code class="digest">{item.traceparent}</code>] : null,
                ]} />
                <div class="buttons">
                    <Copy text={address} label="Copy link" />
                    <a class="button" href={href("/audit", { aggregate: `${item.aggregate}/${item.aggregate_id}` })}>All about it</a>
                    <a class="button" href={href("/audit", { at_position: recordOf(item.position) })}>What was before</a>
                </div>
                {others.length > 0 && (
                    <>
                        <h3>Stored together with it</h3>
                        <ul class="stack">{others.map(other => <li key={other.position}><a href={recordHref(other.position)}>{sayEvent(other.type, other.event)}</a></li>)}</ul>
                    </>
                )}
            </section>
            <section class="card stack" aria-labelledby="raw">
                <h2 id="raw">As stored</h2>
                <pre class="cli">{JSON.stringify(item.event ?? null, null, 2)}</pre>
                <div class="buttons"><Copy text={JSON.stringify(item, null, 2)} label="Copy as JSON" /></div>
            </section>
        </div>
    );
}
