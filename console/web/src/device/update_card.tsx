/** An update as a strip of phases, with its attempts and the clocks that run. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { of, ofKind, useResource } from "../api/resource.ts";
import type { HistoryItem, Update } from "../api/types.ts";
import { Actions, type Action } from "../parts/action.tsx";
import { href, to } from "../router/location.ts";
import { may } from "../session/session.ts";
import { now } from "../time/clock.ts";
import { duration, words } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import { clocks, phaseTimes, steps, WAITING, type Step } from "./phases.ts";
import { fullSentence, sayCode, sayWait } from "./sentence.ts";

const MARKS: Record<Step["state"], [icon: string, word: string]> = {
    done: ["✓", "done"], now: ["›", "now"], next: ["·", "to come"], end_ok: ["✓", "ended well"], end_bad: ["✕", "ended"],
};

export function UpdateCard({ update, events, reload, isLive = false }: {
    update: Update;
    events: readonly HistoryItem[];
    reload: () => void;
    isLive?: boolean;
}) {
    const shown = steps(update, phaseTimes(events, update.ordinal));
    const path = to`/updates/${update.update_id}`;
    const actions: Action[] = [
        { command: "cancel", label: `Cancel ${update.kind}`, tone: "danger", request: { method: "POST", path: `${path}/cancel` }, cli: `waybill update cancel ${update.update_id}`,
            explains: <p>{update.reached_at ? "The device is asked to stop. It may refuse when it has gone too far." : "The device has not begun: it is withdrawn."}</p> },
        { command: "retry", label: "Try again", tone: "primary", request: { method: "POST", path: `${path}/retry` }, cli: `waybill update retry ${update.update_id}`,
            explains: <p>A new update to {update.version}, with attempts of its own.</p> },
    ];
    return (
        <div class="card stack" aria-label={`${words(update.kind)} ${update.ordinal}`} role="group">
            <div class="wave-head">
                <h2>
                    {isLive ? (WAITING.includes(update.phase) ? "Waits" : "Under way") : `${words(update.kind)} ${update.ordinal}`}: {update.component} {update.from_version ?? "?"} <span aria-label="to">→</span>{" "}
                    <a href={href(to`/firmware/${update.firmware_id}`)}>{update.version}</a>
                </h2>
                <span class="muted">attempt {update.attempt} of {update.max_attempts}</span>
            </div>
            <ol class="phases">
                {shown.map((step, n) => (
                    <li key={`${step.phase} ${n}`} class={`phase ${step.state}`} aria-current={step.state === "now" ? "step" : undefined}>
                        <span class="phase-name">
                            <span aria-hidden="true">{MARKS[step.state][0]} </span>{words(step.phase)}<span class="hidden">, {MARKS[step.state][1]}</span>
                        </span>
                        <span class="small muted"><Took step={step} progress={update.progress} /></span>
                    </li>
                ))}
            </ol>
            {update.wait_reason && <WhyNotYet update={update} reason={update.wait_reason} />}
            {(update.code || update.message || update.reason) && (
                <p>
                    {update.wait_reason && "The attempt before: "}
                    {update.code && <span class="strong">{sayCode(update.code)}</span>}
                    {update.message && <q class="reason">{update.message}</q>}
                    {!update.code && update.reason && words(update.reason)}
                </p>
            )}
            <Clocks update={update} />
            <p class="muted small">
                {update.campaign_id ? <>by <a href={href(to`/campaigns/${update.campaign_id}`)}>its campaign</a>{update.wave ? `, wave ${update.wave}` : ""}</> : "ordered for this device alone"}
                {" · queued "}<Time at={update.queued_at} relative />
                {update.ended_at && <> · ended <Time at={update.ended_at} relative /></>}
                {update.regressed_at && <> · fell back <Time at={update.regressed_at} relative /></>}
                {" · "}<code>{update.update_id}</code>
            </p>
            {may("operator") && (update.allowed_commands?.length ?? 0) > 0 && (
                <Actions actions={actions} allowed={update.allowed_commands} onDone={reload} />
            )}
        </div>
    );
}

/** What keeps a waiting update from the device, and what would change it. */
function WhyNotYet({ update, reason }: { update: Update; reason: string }) {
    const { device_id, firmware_id } = update;
    const answer = useResource(`why-not ${device_id} ${firmware_id}`, signal =>
        body(api.GET("/devices/{device_id}/why-not", { signal, params: { path: { device_id }, query: { firmware_id, ...minPosition() } } })),
    change => of("device", device_id)(change) || ofKind("campaign", "firmware", "tenant")(change));
    if (answer.data?.update_id !== update.update_id) return <p>{sayWait(reason)}</p>;
    return <p>{fullSentence(answer.data.answer)} <span class="muted">What would change it: {answer.data.change}.</span></p>;
}

function Took({ step, progress }: { step: Step; progress: number | null | undefined }) {
    if (step.state === "now") {
        const since = step.at ? `for ${duration(Math.max(0, (now.value - Date.parse(step.at)) / 1_000))}` : "";
        return <>{since}{progress == null ? "" : ` · ${progress} %`}</>;
    }
    if (step.took !== null) return <>{step.took < 1 ? "< 1 s" : duration(step.took)}</>;
    return step.at ? <Time at={step.at} /> : <>–</>;
}

function Clocks({ update }: { update: Update }) {
    const running = clocks(update).filter(clock => Date.parse(clock.until) > now.value);
    if (running.length === 0) return null;
    return (
        <ul class="clocks">
            {running.map(clock => (
                <li key={clock.label}>
                    <span aria-hidden="true">◷ </span>{clock.label} in <span class="strong">{duration((Date.parse(clock.until) - now.value) / 1_000)}</span>
                    <span class="muted small"> (<Time at={clock.until} />)</span>
                </li>
            ))}
        </ul>
    );
}
