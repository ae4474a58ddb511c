/** One campaign: its state in a sentence, its waves and gates, what can be done, and the details in tabs. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { of, type Resource, useResource } from "../api/resource.ts";
import type { Campaign as CampaignBody, CampaignStatus } from "../api/types.ts";
import { useStatus } from "../campaign/board_row.tsx";
import { campaignActions } from "../campaign/actions.tsx";
import { Devices } from "../campaign/devices.tsx";
import { Failures } from "../campaign/failures.tsx";
import { useFirmwareNames } from "../campaign/firmware_names.ts";
import { Plan } from "../campaign/plan.tsx";
import { isForPeople, sentence } from "../campaign/progress.ts";
import { Settings } from "../campaign/settings.tsx";
import { Timeline } from "../campaign/timeline.tsx";
import { Waves } from "../campaign/waves.tsx";
import { WhatIf } from "../campaign/what_if.tsx";
import { Page } from "../layout/page.tsx";
import { Actions } from "../parts/action.tsx";
import { Announce } from "../parts/announce.tsx";
import { Badge } from "../parts/badge.tsx";
import { Compared } from "../parts/compared.tsx";
import { Shown } from "../parts/states.tsx";
import { openTab, Tabs } from "../parts/tabs.tsx";
import { href, to } from "../router/location.ts";
import { may } from "../session/session.ts";
import { at, isComparing, now } from "../time/clock.ts";
import { words } from "../time/format.ts";
import { Time } from "../time/time.tsx";

const TABS = ["Waves", "Devices", "Failures", "Timeline", "Plan", "What if", "Settings"];
/** What the log alone knows of a moment of the past. */
const TABS_OF_THE_PAST = ["Timeline", "Settings"];
/** What isn't compared with now: what the plan is made of, and what other fields say, too. */
const NOT_COMPARED = ["gate", "last_gate.evidence", "last_gate.type", "waits_for.kind", "plan.algorithm", "plan.at_position", "plan.chunks", "plan.plan", "plan.plan_hash", "plan.seed"];

function readCampaign(id: string, moment: string | null, signal: AbortSignal): Promise<CampaignBody> {
    return body(api.GET("/campaigns/{campaign_id}", {
        signal,
        params: { path: { campaign_id: id }, query: moment ? { at_time: moment } : minPosition() },
    }));
}

export function Campaign({ params }: { params: Record<string, string> }) {
    const id = params.id ?? "";
    const moment = at.value;
    const campaign = useResource(`campaign ${id} ${moment}`, signal => readCampaign(id, moment, signal), moment ? null : of("campaign", id));
    const status = useStatus(id);
    const data = campaign.data;
    const name = data?.name ?? "Campaign";
    return (
        <Page title={name} tabTitle={data ? `${mark(data)}${words(data.status)} · ${name}` : name} showsPast compares source={to`/campaigns/${id}`} aside={data && <Badge state={data.status} />}>
            <Shown of={campaign}>
                {shown => (
                    <>
                        {/* Numbers that couldn't be read again are shown with their age under Waves, not in the sentence. */}
                        <Head campaign={shown} status={moment || status.problem ? undefined : status.data} reload={campaign.reload} />
                        {isComparing.value && (
                            <Compared aggregate={`campaign/${id}`} then={shown} id={`campaign ${id} null`} read={signal => readCampaign(id, null, signal)}
                                live={of("campaign", id)} skipped={NOT_COMPARED} />
                        )}
                        <Details campaign={shown} status={status} />
                    </>
                )}
            </Shown>
        </Page>
    );
}

/** The tab of the browser says that a campaign waits for somebody. */
function mark(campaign: CampaignBody): string {
    return campaign.waits_for?.some(isForPeople) ? "▲ " : "";
}

function Head({ campaign, status, reload }: { campaign: CampaignBody; status: CampaignStatus | undefined; reload: () => void }) {
    const firmware = useFirmwareNames([campaign.firmware_id])[campaign.firmware_id] ?? campaign.firmware_id;
    return (
        <section class="stack" aria-label="State">
            <p class="sentence">{sentence(campaign, status)}</p>
            <Announce text={sentence(campaign, status)} />
            <p class="muted">
                <a href={href(to`/firmware/${campaign.firmware_id}`)}>{firmware}</a> · {words(campaign.deployment_strategy)} · by {campaign.created_by ?? "–"}
                {campaign.started_at && <> · started <Time at={campaign.started_at} relative /></>}
                {status?.eta && !campaign.ended_at && Date.parse(status.eta) > now.value && <> · expected end <Time at={status.eta} /></>}
                {campaign.ended_at && <> · ended <Time at={campaign.ended_at} relative /></>}
            </p>
            {campaign.description && <p>{campaign.description}</p>}
            {campaign.approval && (
                <p class="muted">
                    {words(campaign.approval.decision)} by {campaign.approval.by}
                    {campaign.approval.remark && <q class="reason">{campaign.approval.remark}</q>}
                </p>
            )}
            {may("operator") && (
                <div class="buttons">
                    <Actions actions={campaignActions(campaign, status)} allowed={campaign.allowed_commands} whyNot={campaign.why_not ?? undefined} onDone={reload} />
                    {campaign.allowed_commands?.includes("amend") && <a class="button" href={href("/campaigns/new", { edit: campaign.campaign_id })}>Change</a>}
                    <a class="button" href={href("/campaigns/new", { clone: campaign.campaign_id })}>Copy as new</a>
                </div>
            )}
        </section>
    );
}

function Details({ campaign, status }: { campaign: CampaignBody; status: Resource<CampaignStatus> }) {
    const tabs = at.value ? TABS_OF_THE_PAST : campaign.started_at ? TABS : ["Plan", "Timeline", "Settings"];
    const id = campaign.campaign_id;
    const shown = openTab(tabs);
    return (
        <>
            <Tabs tabs={tabs} label="Details" />
            {shown === "Waves" && <Waves id={id} status={status} />}
            {shown === "Devices" && <Devices id={id} />}
            {shown === "Failures" && <Failures id={id} />}
            {shown === "Timeline" && <Timeline id={id} />}
            {shown === "Plan" && <Plan campaign={campaign} />}
            {shown === "What if" && <WhatIf campaign={campaign} />}
            {shown === "Settings" && <Settings campaign={campaign} />}
        </>
    );
}
