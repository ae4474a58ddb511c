/** A row for each wave: a bar of its devices, its numbers, and its gates with what was measured. */
import { api, body } from "../api/client.ts";
import { minPosition, shortPosition } from "../api/position.ts";
import { of, type Resource, useResource } from "../api/resource.ts";
import type { CampaignStatus, Gate, Wave } from "../api/types.ts";
import { Badge } from "../parts/badge.tsx";
import { Bar } from "../parts/bar.tsx";
import { Shown } from "../parts/states.tsx";
import { href, path, to } from "../router/location.ts";
import { count, percent, words } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import { latestGates } from "./gates.ts";
import { waveParts } from "./progress.ts";

/** Most results of gates that are read. */
const GATES_MAX = 200;

export function Waves({ id, status }: { id: string; status: Resource<CampaignStatus> }) {
    const gates = useResource(`gates ${id}`, signal =>
        body(api.GET("/campaigns/{campaign_id}/gates", { signal, params: { path: { campaign_id: id }, query: { limit: GATES_MAX, ...minPosition() } } })),
        of("campaign", id));
    return (
        <Shown of={status}>
            {({ waves, wave: present }) => (
                <Shown of={gates}>
                    {({ now, items }) => {
                        const latest = latestGates(items, now);
                        return (
                            <div class="stack">
                                {waves.map(wave => <WaveRow key={wave.wave} wave={wave} isNow={wave.wave === present} gates={latest.filter(gate => gate.wave === wave.wave)} />)}
                                <Whole gates={latest.filter(gate => gate.wave == null)} />
                            </div>
                        );
                    }}
                </Shown>
            )}
        </Shown>
    );
}

function WaveRow({ wave, isNow, gates }: { wave: Wave; isNow: boolean; gates: readonly Gate[] }) {
    const ended = wave.expired + wave.cancelled + wave.superseded;
    return (
        <section class={isNow ? "card wave now" : "card wave"} aria-labelledby={`wave-${wave.wave}`}>
            <div class="wave-head">
                <h2 id={`wave-${wave.wave}`}>Wave {wave.wave}</h2>
                <span class="muted">
                    {wave.completed_at ? <>completed <Time at={wave.completed_at} /></> : wave.opened_at ? <>open since <Time at={wave.opened_at} /></> : "not open yet"}
                </span>
            </div>
            <Bar parts={waveParts(wave)} whole={wave.enrolled} />
            <ul class="numbers">
                <Number value={wave.enrolled} word="enrolled" to={devicesOf(wave)} />
                <Number value={wave.reached} word="reached" />
                <Number value={wave.working} word="working" tone="work" />
                {wave.staged > 0 && <Number value={wave.staged} word="staged" tone="work" to={devicesOf(wave, "staged")} />}
                <Number value={wave.confirmed} word="confirmed" tone="ok" to={devicesOf(wave, "confirmed")} />
                <Number value={wave.failed} word={`failed (${percent(wave.failed, wave.confirmed + wave.failed)})`} tone="bad" to={devicesOf(wave, "failed")} />
                {wave.gate_failed > wave.failed && <Number value={wave.gate_failed - wave.failed} word="failed once, tried again" tone="warn" />}
                {ended > 0 && <Number value={ended} word="ended otherwise" tone="warn" />}
            </ul>
            {gates.length > 0 && <Gates gates={gates} label={`Gates of wave ${wave.wave}`} />}
        </section>
    );
}

/** The devices of a wave, those in a phase if one is named. */
function devicesOf(wave: Wave, phase?: string): string {
    return href(path.value, { tab: "Devices", wave: String(wave.wave), phase });
}

function Number({ value, word, tone = "plain", to: target }: { value: number; word: string; tone?: string; to?: string }) {
    const inside = <><span class="strong">{count(value)}</span> {word}</>;
    return <li class={`number-${tone}`}>{target && value > 0 ? <a href={target}>{inside}</a> : inside}</li>;
}

/** Gates of the whole campaign. */
function Whole({ gates }: { gates: readonly Gate[] }) {
    if (gates.length === 0) return null;
    return (
        <section class="card wave" aria-labelledby="whole">
            <h2 id="whole">Whole campaign</h2>
            <Gates gates={gates} label="Gates of the whole campaign" />
        </section>
    );
}

const BOUNDS: Record<string, string> = { at_most: "at most", below: "below", at_least: "at least" };

/** Each gate with what was measured, its limit, and the devices behind it. */
export function Gates({ gates, label }: { gates: readonly Gate[]; label: string }) {
    return (
        <ul class="gates" aria-label={label}>
            {gates.map(gate => (
                <li key={`${gate.gate} ${gate.position}`} data-gate={gate.gate} data-verdict={gate.verdict}>
                    <Badge state={gate.verdict} tone={gate.verdict === "broken" ? "warn" : gate.verdict === "held" ? "ok" : undefined} />
                    <div>
                        <p>
                            <span class="strong">{words(gate.gate)}</span>: measured <b>{gate.measured_percent}&nbsp;%</b>, limit{" "}
                            {BOUNDS[gate.bound] ?? gate.bound} <b>{gate.limit_percent}&nbsp;%</b>
                        </p>
                        <p class="muted small">
                            {gate.sentence} · judged {gate.position ? "" : "now "}at #{shortPosition(gate.judged_at_position)}, <Time at={gate.at} />
                        </p>
                        {gate.devices.length > 0 && (
                            <details>
                                <summary>{gate.failed === 1 ? "1 device" : `${count(gate.failed)} devices`} failed</summary>
                                <p>
                                    {gate.devices.map(device => <><a key={device} href={href(to`/devices/${device}`)}>{device}</a> </>)}
                                    {gate.failed > gate.devices.length && <a href={href(path.value, { tab: "Devices", phase: "failed" })}>all failed devices</a>}
                                </p>
                            </details>
                        )}
                    </div>
                </li>
            ))}
        </ul>
    );
}
