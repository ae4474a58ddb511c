/** What other limits and waves would have done with the same reports. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { tried } from "../api/send.ts";
import { Problem, sentence } from "../api/problem.ts";
import type { Campaign, Schemas } from "../api/types.ts";
import { Facts } from "../parts/facts.tsx";
import { Field } from "../parts/field.tsx";
import { to } from "../router/location.ts";
import { count, duration, several, words } from "../time/format.ts";
import { Time } from "../time/time.tsx";
import { whatIfRequest } from "./what_if_request.ts";

type Answer = Schemas["WhatIfBody"];
type Stop = NonNullable<Answer["would_stop"]>;
type Course = Schemas["CourseBody"];

export function WhatIf({ campaign }: { campaign: Campaign }) {
    const [failure, setFailure] = useState(String(campaign.failure_threshold_percent));
    const [settled, setSettled] = useState(String(campaign.gate_min_settled));
    const [success, setSuccess] = useState("");
    const [waves, setWaves] = useState("");
    const [concurrency, setConcurrency] = useState("");
    const [answer, setAnswer] = useState<Answer | Problem | null>(null);
    const [isBusy, setBusy] = useState(false);
    const submit = async (event: Event): Promise<void> => {
        event.preventDefault();
        // One question at a time, because replies can come out of order.
        setAnswer(null);
        setBusy(true);
        const body = whatIfRequest({ failure, settled, success, waves, concurrency });
        const reply = await tried({ method: "POST", path: to`/campaigns/${campaign.campaign_id}/what-if`, body });
        setBusy(false);
        setAnswer(reply instanceof Problem ? reply : (reply as unknown as Answer));
    };
    return (
        <div class="columns">
            <form class="card stack" onSubmit={submit}>
                <h2>Other settings</h2>
                <Field label="Failures, at most %" type="number" min={0} max={100} value={failure} onInput={setFailure} />
                <Field label="Judge after settled devices" type="number" min={0} value={settled} onInput={setSettled} />
                <Field label="Successes, at least %" type="number" min={0} max={100} value={success} onInput={setSuccess} hint="Empty: as it is." />
                <Field label="Waves, %" value={waves} onInput={setWaves} hint="Empty: as they are." />
                <Field label="Devices at a time" type="number" min={1} value={concurrency} onInput={setConcurrency} hint="Empty: as it is." />
                <div class="buttons"><button class="primary" disabled={isBusy}>What would have happened?</button></div>
            </form>
            {answer instanceof Problem && <p class="error" role="alert">{sentence(answer)}</p>}
            {answer && !(answer instanceof Problem) && <Answered answer={answer} />}
        </div>
    );
}

function Answered({ answer }: { answer: Answer }) {
    return (
        <div class="card stack" role="status">
            <h2>Answer</h2>
            <p class="sentence">{answer.would_stop ? <Stopped stop={answer.would_stop} would /> : "No gate would have closed on these reports."}</p>
            <p>{answer.stopped ? <Stopped stop={answer.stopped} /> : "No gate has closed."}</p>
            {answer.devices_spared != null && (
                <p>{several(answer.devices_spared, "device")} of {count(answer.devices_reached)} would not have been updated.</p>
            )}
            {answer.course && (
                <>
                    <h3>From its start</h3>
                    <p class="muted">{several(answer.course.unknown_devices, "device")} without an outcome of their own.</p>
                    <OneCourse course={answer.course.if_unknown_confirm}>If they confirm</OneCourse>
                    <OneCourse course={answer.course.if_unknown_fail}>If they fail</OneCourse>
                </>
            )}
            <p class="muted small">Assumes that {answer.assumes.join("; ")}.</p>
        </div>
    );
}

function OneCourse({ course, children }: { course: Course; children: ComponentChildren }) {
    return (
        <div>
            <p class="strong">{children}: {words(course.outcome)} after {duration(course.after_seconds)}</p>
            {course.gate && <p>{course.gate.sentence}</p>}
            <Facts facts={[["Begun", count(course.devices_begun)], ["Confirmed", count(course.confirmed)], ["Failed", count(course.failed)]]} />
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
