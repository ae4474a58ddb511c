/** The commands of a campaign as buttons, each with its numbers. */
import type { Campaign, CampaignStatus } from "../api/types.ts";
import type { Action } from "../parts/action.tsx";
import { to } from "../router/location.ts";
import { several } from "../time/format.ts";

export function campaignActions(campaign: Campaign, status: CampaignStatus | undefined): Action[] {
    const id = campaign.campaign_id;
    const name = campaign.name ?? id;
    const command = (verb: string, body: object = {}) => ({ method: "POST" as const, path: `${to`/campaigns/${id}`}/${verb}`, body });
    const numbers = status && numbersOf(status);
    const waits = campaign.waits_for ?? status?.waits_for ?? [];
    const next = waits.find(wait => wait.kind === "operator" && wait.wave)?.wave ?? (status ? status.wave + 1 : undefined);
    const isGateClosed = waits.some(wait => wait.kind === "accept");
    const isSoonWave = next !== undefined && status !== undefined && next <= status.waves.length;
    const isAskedFor = waits.some(wait => wait.kind === "operator" && wait.wave);
    const actions: (Action | false)[] = [
        { command: "start", label: "Start", tone: "primary", request: command("start"), cli: `waybill campaign start ${id}`,
            explains: <p>{campaign.requires_approval ? "Somebody else must approve it first." : campaign.scheduled_start ? "It begins at its time." : "Its plan is made, and its first wave opens."}</p> },
        campaign.scheduled_start != null && { command: "start_now", label: "Start now", request: command("start", { now: true }),
            explains: <p>It begins now, not at its time. This needs a reason.</p>, cli: `waybill campaign start ${id} --now` },
        { command: "approve", label: "Approve", tone: "primary", request: command("approve"), reasonField: "remark", cli: `waybill campaign approve ${id}`,
            explains: <p>The campaign may begin.</p> },
        { command: "reject", label: "Reject", request: command("reject"), reasonField: "remark", cli: `waybill campaign reject ${id}`,
            explains: <p>The campaign doesn't begin until it is changed.</p> },
        { command: "resume", label: isGateClosed ? "Accept failures and go on" : "Resume", tone: "primary", cli: `waybill campaign resume ${id}`,
            request: command("resume", isGateClosed ? { accept_failures: true } : {}),
            explains: <><p>{isGateClosed ? "The failures so far aren't counted again. This needs a reason." : "Devices get slots again."}</p>{numbers}</> },
        isSoonWave && { command: "open_wave", label: `Open wave ${next}`, tone: isAskedFor ? "primary" : undefined,
            request: command(`waves/${next}/open`, isAskedFor ? {} : { force: true }), cli: `waybill campaign open-wave ${id} ${next}`,
            explains: <p>{isAskedFor ? "" : "The wave before has not passed its gate or still soaks: this needs a reason. "}
                {several(status.waves[next - 1]?.enrolled ?? 0, "further device")} may begin.</p> },
        { command: "pause", label: "Pause", request: command("pause"), cli: `waybill campaign pause ${id}`,
            explains: <><p>No further device begins. Who is working goes on.</p>{numbers}</> },
        { command: "retry", label: "Retry failed", request: command("retry"), cli: `waybill campaign retry ${id}`,
            explains: <p>{status ? several(status.retryable, "device") : "Failed devices"} can be tried again.</p> },
        { command: "roll_back", label: "Roll back", tone: "danger", request: command("rollback"), typed: name, cli: `waybill campaign rollback ${id}`,
            explains: <p>{status ? several(status.confirmed, "updated device") : "Updated devices"} go back to what they ran before. No further device begins.</p> },
        { command: "cancel", label: "Cancel", tone: "danger", request: command("cancel"), cli: `waybill campaign cancel ${id}`,
            explains: <><p>Waiting devices are withdrawn, working ones end as they end. This can't be undone.</p>{numbers}</> },
        { command: "delete", label: "Delete", tone: "danger", request: { method: "DELETE", path: to`/campaigns/${id}` }, cli: `waybill campaign delete ${id}`,
            explains: <p>The draft is gone from all lists; the log keeps it.</p> },
    ];
    return actions.filter((action): action is Action => action !== false);
}

function numbersOf(status: CampaignStatus) {
    const working = status.waves.reduce((sum, wave) => sum + wave.working, 0);
    const left = Math.max(0, status.enrolled - status.settled - working);
    return <p class="muted">{several(status.settled, "device")} settled, {several(working, "device")} working, {several(left, "device")} not begun.</p>;
}
