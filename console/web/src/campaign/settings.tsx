/** The settings of a campaign; those that can be adjusted while it runs can be changed here, with the difference before it is sent. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { minPosition, shortPosition } from "../api/position.ts";
import { of, useResource } from "../api/resource.ts";
import type { Campaign } from "../api/types.ts";
import { Confirm } from "../parts/action.tsx";
import { DifferenceTable } from "../parts/compared.tsx";
import { differences } from "../parts/difference.ts";
import { Facts, type Fact } from "../parts/facts.tsx";
import { Field } from "../parts/field.tsx";
import { href, to } from "../router/location.ts";
import { at } from "../time/clock.ts";
import { words } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import { edits } from "./edits.ts";

/** Most events in which edits are looked for. */
const EVENTS_MAX = 200;

/** What can be adjusted, and what it is called. */
const ADJUSTABLE = {
    failure_threshold_percent: "Failures, at most %",
    gate_min_settled: "Judge after settled devices",
    max_concurrent_updates: "Devices at a time",
    min_reached_percent: "Reached, at least %",
    rate_per_minute: "Devices a minute",
    rollout_percentage: "Share of the devices, %",
    soak_minutes: "Soak, minutes",
    success_threshold_percent: "Successes, at least %",
    wave_wait_minutes: "Wait for a wave, minutes",
} as const;

type Adjustable = keyof typeof ADJUSTABLE;
const NAMES = Object.keys(ADJUSTABLE) as Adjustable[];
/** Fields that are no settings. */
const NOT_SETTINGS = new Set([
    "allowed_commands", "approval", "campaign_id", "created_at", "created_by", "ended_at", "expected_plan", "gate", "last_gate", "plan",
    "refused_plan", "started_at", "status", "version", "waits_for", "warnings", "wave", "why_not", "name", "description", "unreadable",
]);

export function Settings({ campaign }: { campaign: Campaign }) {
    const canAdjust = at.value === null && (campaign.allowed_commands?.includes("adjust") ?? false);
    const facts: Fact[] = Object.entries(campaign)
        .filter(([name, value]) => !NOT_SETTINGS.has(name) && value !== null && value !== undefined)
        .map(([name, value]) => [words(name).replace(/^./, first => first.toUpperCase()), shown(name, value)]);
    return (
        <div class="columns">
            <div class="card"><Facts facts={facts} /></div>
            {canAdjust && <Adjust campaign={campaign} />}
            <Edits id={campaign.campaign_id} />
        </div>
    );
}

/** What each edit has changed, the newest first. */
function Edits({ id }: { id: string }) {
    const moment = at.value;
    const history = useResource(`campaign-edits ${id}`, signal =>
        body(api.GET("/campaigns/{campaign_id}/history", { signal, params: { path: { campaign_id: id }, query: { limit: EVENTS_MAX, ...minPosition() } } })),
        of("campaign", id));
    const until = (history.data?.items ?? []).filter(item => !moment || Date.parse(item.stored_at) <= Date.parse(moment));
    const found = edits(until);
    if (found.length === 0) return null;
    return (
        <section class="card stack" aria-labelledby="edits">
            <h2 id="edits">Edits</h2>
            {found.map(({ item, found: own }) => (
                <div key={item.position} class="stack">
                    <p>
                        <Time at={item.stored_at} /> · {item.actor ?? "unknown"} · <a href={href("/audit", { record: item.position })}>#{shortPosition(item.position)}</a>
                        {item.reason && <q class="reason">{item.reason}</q>}
                    </p>
                    {own.length === 0 ? <p class="muted">It changed nothing.</p> : <DifferenceTable found={own} before="Before" after="After" />}
                </div>
            ))}
            {history.data?.next_cursor && <p class="muted small">Among the first {EVENTS_MAX} events.</p>}
        </section>
    );
}

/** A value for people; what has parts shows part by part. */
function shown(name: string, value: unknown) {
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (name === "waves") return (value as Campaign["waves"]).map(wave => `${wave.percentage} %${wave.advance === "manual" ? " (by hand)" : ""}`).join(" → ");
    if (name === "firmware_id") return <a href={href(to`/firmware/${String(value)}`)}>{String(value)}</a>;
    if (typeof value === "string" && name.endsWith("_at")) return <Time at={value} />;
    if (typeof value !== "object") return String(value);
    return <span class="tags">{differences(null, value, []).map(part => <span key={part.name} class="tag">{Array.isArray(value) ? "" : `${words(part.name)}: `}{String(part.now)}</span>)}</span>;
}

function Adjust({ campaign }: { campaign: Campaign }) {
    const before = (name: Adjustable): string => (campaign[name] == null ? "" : String(campaign[name]));
    const [edited, setEdited] = useState<Partial<Record<Adjustable, string>>>({});
    const [isAsking, setAsking] = useState(false);
    const changed = NAMES.filter(name => edited[name] !== undefined && edited[name] !== "" && edited[name] !== before(name));
    const body = Object.fromEntries(changed.map(name => [name, Number(edited[name])]));
    return (
        <form class="card stack" onSubmit={event => { event.preventDefault(); setAsking(changed.length > 0); }}>
            <h2>Adjust</h2>
            {NAMES.map(name => (
                <Field key={name} label={ADJUSTABLE[name]} type="number" min={0} value={edited[name] ?? before(name)}
                    onInput={value => setEdited({ ...edited, [name]: value })} />
            ))}
            <div class="buttons"><button class="primary" disabled={changed.length === 0}>Show the changes</button></div>
            {isAsking && (
                <Confirm onClose={() => setAsking(false)} onTaken={() => { setAsking(false); setEdited({}); }}
                    action={{
                        command: "adjust", label: "Adjust", request: { method: "PATCH", path: to`/campaigns/${campaign.campaign_id}`, body },
                        explains: <ul>{changed.map(name => <li key={name}>{ADJUSTABLE[name]}: {before(name) || "none"} → <b>{edited[name]}</b></li>)}</ul>,
                    }} />
            )}
        </form>
    );
}
