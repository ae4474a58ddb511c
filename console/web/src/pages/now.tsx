/** What needs a person first, then the campaigns under way, then the fleet. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { anything, ofKind, useResource } from "../api/resource.ts";
import type { Campaign, CampaignStatus, Stats } from "../api/types.ts";
import { isForPeople, LIVE } from "../campaign/progress.ts";
import { BoardRow, readStatus } from "../campaign/board_row.tsx";
import { Page } from "../layout/page.tsx";
import { type Alert, useAlerts } from "../now/alerts.ts";
import { Empty, Shown } from "../parts/states.tsx";
import { Tile } from "../parts/tile.tsx";
import { href, to } from "../router/location.ts";
import { session } from "../session/session.ts";
import { Time } from "../time/time.tsx";

/** Most campaigns of each state that are shown. */
const CAMPAIGNS_MAX = 25;

interface UnderWay {
    campaign: Campaign;
    status: CampaignStatus;
}

interface Board {
    campaigns: UnderWay[];
    /** There are more than are read. */
    hasMore: boolean;
}

/** The campaigns under way with their numbers, in the order of their states. */
async function underWay(signal: AbortSignal): Promise<Board> {
    const asked = LIVE.map(status =>
        body(api.GET("/campaigns", { signal, params: { query: { status, limit: CAMPAIGNS_MAX, ...minPosition() } } })));
    const lists = await Promise.all(asked);
    const found = lists.flatMap(list => list.items);
    const campaigns = await Promise.all(found.map(async campaign => ({ campaign, status: await readStatus(campaign.campaign_id, signal) })));
    return { campaigns, hasMore: lists.some(list => list.next_cursor) };
}

export function Now() {
    const tenant = session.value?.tenant_id ?? "";
    const campaigns = useResource("now-campaigns", underWay, ofKind("campaign", "firmware", "tenant"));
    const stats = useResource("stats", signal => body(api.GET("/stats", { signal, params: { query: minPosition() } })), anything);
    const state = useResource(`tenant ${tenant}`, signal =>
        body(api.GET("/tenants/{tenant_id}", { signal, params: { path: { tenant_id: tenant } } })), ofKind("tenant"));
    const alerts = useAlerts(stats.data);
    const moving = campaigns.data?.campaigns ?? [];
    const needs = moving.filter(({ status }) => status.waits_for.some(isForPeople));
    return (
        <Page title="Now" tabTitle={needs.length > 0 ? `▲ ${needs.length} waiting · Now` : "Now"}
            aside={<a class="button primary" href={href("/campaigns/new")}>New campaign</a>}>
            {state.data?.frozen && (
                <p class="notice bad" role="status">
                    <span><span aria-hidden="true">✕ </span>The tenant is frozen: nothing goes out to devices. <a href={href("/settings")}>Settings</a></span>
                </p>
            )}
            <section class="stack" aria-labelledby="needs">
                <h2 id="needs">Needs you</h2>
                <Shown of={campaigns}>
                    {({ hasMore }) => (
                        <>
                            {needs.length > 0 && <ul class="needs">{needs.map(one => <Need key={one.campaign.campaign_id} {...one} />)}</ul>}
                            {needs.length === 0 && !hasMore && <p class="notice ok"><span><span aria-hidden="true">✓ </span>Nothing waits for a person.</span></p>}
                            {hasMore && (
                                <p class="notice warn">
                                    <span>
                                        <span aria-hidden="true">! </span>More campaigns are under way than are shown here: at most {CAMPAIGNS_MAX} of each state.{" "}
                                        <a href={href("/campaigns")}>All campaigns</a>
                                    </span>
                                </p>
                            )}
                        </>
                    )}
                </Shown>
                {alerts.length > 0 && <ul class="needs">{alerts.map(one => <Warning key={one.says} {...one} />)}</ul>}
            </section>
            <section class="stack" aria-labelledby="under-way">
                <h2 id="under-way">Under way</h2>
                <Shown of={campaigns}>
                    {() => moving.length === 0
                        ? <Empty title="No campaign is under way"><a class="button" href={href("/campaigns/new")}>New campaign</a></Empty>
                        : <div class="card board">{moving.map(one => <BoardRow key={one.campaign.campaign_id} {...one} />)}</div>}
                </Shown>
            </section>
            <section class="stack" aria-labelledby="fleet">
                <h2 id="fleet">Fleet</h2>
                <Shown of={stats}>{data => <Fleet stats={data} />}</Shown>
            </section>
        </Page>
    );
}

function Warning({ says, link, label }: Alert) {
    return (
        <li class="notice warn">
            <p><span aria-hidden="true">! </span>{says}</p>
            <a class="button" href={link}>{label}</a>
        </li>
    );
}

function Need({ campaign, status }: UnderWay) {
    const waits = status.waits_for.filter(isForPeople);
    return (
        <li class="notice warn">
            <p>
                <span aria-hidden="true">! </span>
                <a class="strong" href={href(to`/campaigns/${campaign.campaign_id}`)}>{campaign.name ?? campaign.campaign_id}</a> waits for{" "}
                {waits.map(wait => wait.detail).join("; ")}.
            </p>
            <a class="button" href={href(to`/campaigns/${campaign.campaign_id}`)}>Decide</a>
        </li>
    );
}

function Fleet({ stats }: { stats: Stats }) {
    const { devices, in_flight, period } = stats;
    const today = period.days.at(-1);
    const isToday = today?.day === period.to;
    return (
        <>
            <div class="tiles">
                <Tile number={devices.total} word={devices.total === 1 ? "device" : "devices"} to={href("/devices")} />
                <Tile number={devices.online} word="online" to={href("/devices", { status: "online" })} />
                <Tile number={devices.offline} word="offline" to={href("/devices", { status: "offline" })} />
                <Tile number={devices.never_seen} word="never seen" to={href("/devices", { status: "never_seen" })} />
                <Tile number={in_flight} word="updates in flight" to={href("/devices", { tab: "Updates" })} />
                <Tile number={isToday ? today.updates.confirmed : 0} word="updated today" to={href("/devices", { tab: "Updates", phase: "confirmed" })} />
                <Tile number={isToday ? today.updates.failed : 0} word="failed today" to={href("/devices", { tab: "Updates", phase: "failed" })} />
            </div>
            <p class="muted small">As of <Time at={stats.as_of.time} /></p>
        </>
    );
}
