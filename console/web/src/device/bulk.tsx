/** Commands for the selected devices, or for all that match the filters. What would happen is asked first. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem, sentence } from "../api/problem.ts";
import { newKey, tried, type Command } from "../api/send.ts";
import { Dialog } from "../parts/dialog.tsx";
import { Field, Select } from "../parts/field.tsx";
import { href, to } from "../router/location.ts";
import { count, several, words } from "../time/format.ts";
import { bulkRequest, forecastRequest, IDS_MAX, joined, outcomeOf, type Bulk, type Chosen, type Outcome } from "./bulk_request.ts";
import { groupNames, useGroups } from "./filter_bar.tsx";
import { FirmwareSelect } from "./firmware_select.tsx";

/** Most pages of one command: 10,000 devices each. */
const PAGES_MAX = 1_000;
/** Most refused devices that are named. */
const NAMED_MAX = 20;

export const VERBS: readonly [bulk: Bulk, label: string][] = [
    ["update", "Update"], ["hold", "Hold"], ["release", "Release"], ["add", "Add to group"], ["remove", "Remove from group"],
];

export function BulkDialog({ bulk, chosen, says, onClose, onDone }: {
    bulk: Bulk;
    chosen: Chosen;
    /** Which devices these are, for people. */
    says: string;
    onClose: () => void;
    onDone: () => void;
}) {
    const [firmware, setFirmware] = useState("");
    const [group, setGroup] = useState("");
    const [until, setUntil] = useState("");
    const [reason, setReason] = useState("");
    const [outcome, setOutcome] = useState<Outcome | null>(null);
    const [problem, setProblem] = useState<Problem | null>(null);
    const [isBusy, setBusy] = useState(false);
    const key = useRef(newKey());
    const label = VERBS.find(([name]) => name === bulk)?.[1] ?? bulk;
    const ends = until ? new Date(until) : null;
    const command = bulkRequest(bulk, chosen, { firmware, group, until: ends && !Number.isNaN(ends.getTime()) ? ends.toISOString() : "" });
    const isTooMany = "ids" in chosen && chosen.ids.length > IDS_MAX[bulk];
    const submit = async (event: Event): Promise<void> => {
        event.preventDefault();
        if (!command) return;
        setBusy(true);
        setProblem(null);
        let sum: Outcome | null = null;
        for (let page = 0; page < PAGES_MAX; page += 1) {
            const after = sum?.nextAfter;
            const body = { ...command.body, ...(reason ? { reason } : {}), ...(after ? { after } : {}) };
            const answer = await tried({ ...command, body }, { key: page === 0 ? key.current : newKey() });
            if (answer instanceof Problem) {
                setProblem(answer);
                if (!answer.isPassing) key.current = newKey();
                break;
            }
            sum = joined(sum, outcomeOf(answer));
            if (!sum.nextAfter) break;
        }
        setBusy(false);
        if (sum) {
            setOutcome(sum);
            onDone();
        }
    };
    if (outcome) return <Done label={label} outcome={outcome} problem={problem} onClose={onClose} />;
    return (
        <Dialog title={`${label}: ${says}`} onClose={onClose}>
            <form onSubmit={submit}>
                {bulk === "update" && <FirmwareSelect value={firmware} onChange={setFirmware} />}
                {bulk === "hold" && <Field label="Until" type="datetime-local" value={until} onInput={setUntil} hint="In the zone of this browser. Empty: until they are released. A held device gets no update." />}
                {(bulk === "add" || bulk === "remove") && <GroupSelect value={group} onChange={setGroup} />}
                {bulk === "update" && <p class="muted">{"ids" in chosen ? "Each device gets an update of its own." : "They get a campaign without waves, which starts at once."}</p>}
                <Field label="Reason" value={reason} onInput={setReason} hint="It is kept in the log." />
                {isTooMany && <p class="error">At most {count(IDS_MAX[bulk])} devices at once.</p>}
                <Forecast request={isTooMany || !command ? null : forecastRequest(bulk, chosen, command)} />
                {problem && <p class="error" role="alert">{sentence(problem)}</p>}
                <div class="buttons">
                    <button type="button" onClick={onClose}>Back</button>
                    <button class="primary" disabled={isBusy || !command || isTooMany}>{isBusy ? "Working …" : label}</button>
                </div>
            </form>
        </Dialog>
    );
}

function GroupSelect({ value, onChange }: { value: string; onChange: (id: string) => void }) {
    const groups = useGroups().filter(group => group.kind === "static");
    const hint = groups.length === 0 ? "There is no group with members of its own yet: make one in the settings." : undefined;
    return (
        <Select label="Group" value={value} onChange={onChange} hint={hint}
            options={[{ value: "", label: "choose" }, ...Object.entries(groupNames(groups)).map(([id, name]) => ({ value: id, label: name }))]} />
    );
}

/** What the service says would happen. */
function Forecast({ request }: { request: { command: Command; isDryRun: boolean } | null }) {
    const [said, setSaid] = useState<string | null>(null);
    const wanted = request && JSON.stringify(request);
    useEffect(() => {
        setSaid(null);
        if (!request) return;
        let isWanted = true;
        void tried(request.command, { dryRun: request.isDryRun }).then(answer => isWanted && setSaid(forecast(answer)));
        return () => {
            isWanted = false;
        };
    }, [wanted]);
    return <p role="status" class="muted">{said}</p>;
}

function forecast(answer: Record<string, unknown> | Problem): string {
    if (answer instanceof Problem) return `It would be refused: ${sentence(answer)}`;
    const outcome = outcomeOf(answer);
    if (typeof answer.devices === "number") {
        const excluded = Object.entries((answer.excluded ?? {}) as Record<string, number>).map(([why, number]) => `${count(number)} ${words(why)}`);
        return `${several(answer.devices, "device")} would be updated.${excluded.length > 0 ? ` Left out: ${excluded.join(", ")}.` : ""}`;
    }
    const refused = outcome.failedCount > 0 ? `, ${several(outcome.failedCount, "device")} would be refused: ${outcome.failed[0]?.id} (${outcome.failed[0]?.why})${outcome.failedCount > 1 ? " and others" : ""}` : "";
    return `${several(outcome.changed ?? outcome.succeeded, "device")} would be changed${refused}${outcome.nextAfter ? "; there are more after these" : ""}.`;
}

function Done({ label, outcome, problem, onClose }: { label: string; outcome: Outcome; problem: Problem | null; onClose: () => void }) {
    return (
        <Dialog title={label} onClose={onClose}>
            {outcome.campaign
                ? <p>The campaign was started. <a href={href(to`/campaigns/${outcome.campaign}`)}>Watch it</a></p>
                : <p>{several(outcome.changed ?? outcome.succeeded, "device")} changed{outcome.failedCount > 0 ? `, ${several(outcome.failedCount, "device")} refused` : ""}.</p>}
            {problem && <p class="error" role="alert">It stopped there: {sentence(problem)}</p>}
            {outcome.failed.length > 0 && (
                <ul class="refused">
                    {outcome.failed.slice(0, NAMED_MAX).map(one => (
                        <li key={one.id}><a href={href(to`/devices/${one.id}`)}>{one.id}</a>: {one.why}</li>
                    ))}
                    {outcome.failedCount > NAMED_MAX && <li class="muted">and {count(outcome.failedCount - NAMED_MAX)} more</li>}
                </ul>
            )}
            <div class="buttons"><button class="primary" onClick={onClose}>Close</button></div>
        </Dialog>
    );
}
