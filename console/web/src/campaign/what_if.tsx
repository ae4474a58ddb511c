/** What other limits would have done with the same reports. */
import { useState } from "preact/hooks";
import { tried } from "../api/send.ts";
import { Problem, sentence } from "../api/problem.ts";
import type { Campaign, Schemas } from "../api/types.ts";
import { Field } from "../parts/field.tsx";
import { to } from "../router/location.ts";
import { count, several } from "../time/format.ts";
import { Time } from "../time/time.tsx";

type Answer = Schemas["WhatIfBody"];
type Stop = NonNullable<Answer["would_stop"]>;

export function WhatIf({ campaign }: { campaign: Campaign }) {
    const [failure, setFailure] = useState(String(campaign.failure_threshold_percent));
    const [settled, setSettled] = useState(String(campaign.gate_min_settled));
    const [success, setSuccess] = useState("");
    const [answer, setAnswer] = useState<Answer | Problem | null>(null);
    const submit = async (event: Event): Promise<void> => {
        event.preventDefault();
        const number = (text: string): number | undefined => (text === "" ? undefined : Number(text));
        const body = { failure_threshold_percent: number(failure), gate_min_settled: number(settled), success_threshold_percent: number(success) };
        const reply = await tried({ method: "POST", path: to`/campaigns/${campaign.campaign_id}/what-if`, body });
        setAnswer(reply instanceof Problem ? reply : (reply as unknown as Answer));
    };
    return (
        <div class="columns">
            <form class="card stack" onSubmit={submit}>
                <h2>Other limits</h2>
                <Field label="Failures, at most %" type="number" min={0} max={100} value={failure} onInput={setFailure} />
                <Field label="Judge after settled devices" type="number" min={0} value={settled} onInput={setSettled} />
                <Field label="Successes, at least %" type="number" min={0} max={100} value={success} onInput={setSuccess} hint="Empty: as it is." />
                <div class="buttons"><button class="primary">What would have happened?</button></div>
            </form>
            {answer instanceof Problem && <p class="error" role="alert">{sentence(answer)}</p>}
            {answer && !(answer instanceof Problem) && (
                <div class="card stack" role="status">
                    <h2>Answer</h2>
                    <p class="sentence">{answer.would_stop ? <Stopped stop={answer.would_stop} would /> : "No gate would have closed."}</p>
                    <p>{answer.stopped ? <Stopped stop={answer.stopped} /> : "No gate has closed."}</p>
                    <p>
                        {several(answer.devices_spared ?? 0, "device")} of {count(answer.devices_reached ?? 0)} would not have been updated.
                    </p>
                    <p class="muted small">Assumes that {answer.assumes.join("; ")}.</p>
                </div>
            )}
        </div>
    );
}

function Stopped({ stop, would = false }: { stop: Stop; would?: boolean }) {
    return (
        <>
            {would ? "It would have stopped" : "It stopped"} at <Time at={stop.at} /> after {several(stop.devices_reached ?? 0, "device")}: {stop.sentence}.
        </>
    );
}
