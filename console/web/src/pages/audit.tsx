/** The audit: what happened, who did it and why; one event; and what followed from a request. */
import { api, body } from "../api/client.ts";
import { minPosition, shortPosition } from "../api/position.ts";
import { anything, useResource } from "../api/resource.ts";
import { CausationTree } from "../audit/chain.tsx";
import { exportPath, filterOf, recordOf, request } from "../audit/filter.ts";
import { Facets } from "../audit/facets.tsx";
import { listHref, Records } from "../audit/records.tsx";
import { OneRecord } from "../audit/record.tsx";
import { Search } from "../audit/search.tsx";
import { Page } from "../layout/page.tsx";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { href, query } from "../router/location.ts";
import { may } from "../session/session.ts";
import { at } from "../time/clock.ts";

const PAGE_ROWS = 50;

export function Audit(_: { params: Record<string, string> }) {
    const record = query.value.get("record");
    const correlation = query.value.get("correlation_id");
    const isTree = query.value.get("view") === "tree" && correlation;
    if (!may("auditor")) {
        return (
            <Page title="Audit">
                <p class="notice warn">
                    <span><span aria-hidden="true">! </span>The audit names people. Auditors and admins of the tenant may read it.</span>
                </p>
            </Page>
        );
    }
    if (record) return <Page title={`Event #${shortPosition(record)}`} showsPast><OneRecord position={record} /></Page>;
    if (isTree) {
        return (
            <Page title="Chain of causes" showsPast aside={<a class="button" href={listHref({ view: null })}>As a list</a>}>
                <p class="muted">Correlation <code class="digest">{correlation}</code> · <a href={href("/audit")}>All events</a></p>
                <CausationTree correlation={correlation} />
            </Page>
        );
    }
    return <Page title="Audit" showsPast><Found /></Page>;
}

function Found() {
    const filter = filterOf(query.value);
    const cursor = query.value.get("cursor") ?? undefined;
    const moment = at.value;
    const wanted = request(filter, moment);
    const isLive = !moment && !filter.at_position && !cursor;
    const events = useResource(`audit ${JSON.stringify(wanted)} ${cursor}`, signal =>
        body(api.GET("/audit", { signal, params: { query: { ...wanted, cursor, limit: PAGE_ROWS, ...(isLive ? minPosition() : {}) } } })),
        isLive ? anything : null);
    const isFiltered = Object.keys(filter).length > 0;
    return (
        <>
            <Search />
            {filter.at_position && (
                <p class="notice past">
                    <span><span aria-hidden="true">◷ </span>Up to position #{shortPosition(recordOf(filter.at_position))}. <a href={listHref({ at_position: null })}>Up to now</a></span>
                </p>
            )}
            {filter.campaign_id && <p class="muted">Of campaign <code>{filter.campaign_id}</code>. <a href={listHref({ campaign_id: null })}>Of all</a></p>}
            <Shown of={events}>
                {list => (
                    <>
                        <div class="wave-head">
                            <p class="muted">
                                Up to position <a href={listHref({ at_position: list.at_position })}>#{shortPosition(list.at_position)}</a>
                                {filter.correlation_id && <> · <a href={listHref({ view: "tree" })}>As a chain of causes</a></>}
                            </p>
                            <div class="buttons">
                                <a class="button" download href={exportPath({ ...wanted, at_position: list.at_position }, "csv")}>Export CSV</a>
                                <a class="button" download href={exportPath({ ...wanted, at_position: list.at_position }, "ndjson")}>Export NDJSON</a>
                            </div>
                        </div>
                        <Facets wanted={wanted} />
                        {list.items.length > 0 ? <Records items={list.items} /> : <Nothing isFiltered={isFiltered} hasMore={Boolean(list.next_cursor)} />}
                        <Pager next={list.next_cursor} shown={list.items.length} />
                    </>
                )}
            </Shown>
        </>
    );
}

function Nothing({ isFiltered, hasMore }: { isFiltered: boolean; hasMore: boolean }) {
    if (hasMore) return <Empty title="None among the events that were searched at once"><p>The next page searches on.</p></Empty>;
    return isFiltered
        ? <Empty title="No event fits"><a class="button" href={href("/audit")}>Show all</a></Empty>
        : <Empty title="Nothing has happened yet"><a class="button" href={href("/firmware/upload")}>Upload a firmware</a></Empty>;
}
