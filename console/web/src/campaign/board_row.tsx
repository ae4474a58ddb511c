/** One campaign in a row: name, state, and a bar for each wave, which move in place. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { of, useResource } from "../api/resource.ts";
import type { Campaign, CampaignStatus, Wait } from "../api/types.ts";
import { Badge } from "../parts/badge.tsx";
import { Bar } from "../parts/bar.tsx";
import { href, to } from "../router/location.ts";
import { now } from "../time/clock.ts";
import { count, duration, percent } from "../time/format.ts";
import { isForPeople, waveParts } from "./progress.ts";

/** The numbers of a campaign. */
export function readStatus(id: string, signal: AbortSignal): Promise<CampaignStatus> {
    return body(api.GET("/campaigns/{campaign_id}/status", { signal, params: { path: { campaign_id: id }, query: minPosition() } }));
}

/** The same, kept current. */
export function useStatus(id: string) {
    return useResource(`status ${id}`, signal => readStatus(id, signal), of("campaign", id));
}

/** What it waits for, with a clock for what a time ends. */
function Waits({ waits }: { waits: readonly Wait[] }) {
    if (waits.length === 0) return null;
    return (
        <p class="muted small">
            Waits for {waits.map((wait, n) => (
                <>{n > 0 && "; "}{wait.detail}{wait.until && Date.parse(wait.until) > now.value && <> (<span class="nowrap">◷ {duration((Date.parse(wait.until) - now.value) / 1_000)}</span>)</>}</>
            ))}
        </p>
    );
}

export function BoardRow({ campaign, status: data }: { campaign: Campaign; status: CampaignStatus }) {
    return (
        <div class="board-row">
            <div class="board-head">
                <a class="strong" href={href(to`/campaigns/${campaign.campaign_id}`)}>{campaign.name ?? campaign.campaign_id}</a>
                <Badge state={data.status} />
                <span class="muted">
                    {data.wave > 0 && `wave ${data.wave} of ${data.waves.length} · `}
                    {count(data.settled)}/{count(data.enrolled)} settled · {count(data.failed)} failed ({percent(data.failed, data.settled)})
                </span>
            </div>
            <Waits waits={data.waits_for.filter(wait => !isForPeople(wait))} />
            {data.waves.length > 0 && (
                <div class="wave-bars">
                    {data.waves.map(wave => <Bar key={wave.wave} parts={waveParts(wave)} whole={wave.enrolled} />)}
                </div>
            )}
        </div>
    );
}
