/**
 * Buttons for commands. There is one exactly when the service would take the command: it says so in `allowed_commands`, and in `why_not` why it
 * would not take the others. Each is asked for again, with its numbers.
 */
import type { ComponentChildren } from "preact";
import { useId, useRef, useState } from "preact/hooks";
import { newKey, tried, type Command } from "../api/send.ts";
import { Problem, sentence } from "../api/problem.ts";
import { shortPosition } from "../api/position.ts";
import { at } from "../time/clock.ts";
import { Dialog } from "./dialog.tsx";
import { Field } from "./field.tsx";

export interface Action {
    /** As in `allowed_commands`. */
    command: string;
    label: string;
    /** What it does, with its numbers; shown before it is done. */
    explains: ComponentChildren;
    request: Command;
    tone?: "primary" | "danger";
    /** A text that must be typed first, for what is hard to undo. */
    typed?: string;
    /** The same in the command line. */
    cli?: string;
    /** What the request calls the reason; null if it takes none. */
    reasonField?: "reason" | "remark" | null;
    /** It can't be sent without a reason. */
    needsReason?: boolean;
}

interface Props {
    actions: readonly Action[];
    allowed: readonly string[] | null | undefined;
    whyNot?: Record<string, { code: string; detail: string }> | undefined;
    /** After a command was taken. */
    onDone: () => void;
}

/** The buttons of the allowed commands, and why there is none for the others. */
export function Actions({ actions, allowed, whyNot, onDone }: Props) {
    const [open, setOpen] = useState<Action | null>(null);
    const [done, setDone] = useState<string | null>(null);
    if (at.value) return <p class="muted">This is the past: commands are for now.</p>;
    const refused = actions.flatMap(action => {
        const why = allowed?.includes(action.command) ? undefined : whyNot?.[action.command]?.detail;
        return why === undefined ? [] : [[action.label, why] as const];
    });
    const taken = (action: Action, position: string | undefined): void => {
        setOpen(null);
        setDone(`${action.label}: taken${position ? ` at #${shortPosition(position)}` : ""}.`);
        onDone();
    };
    return (
        <div class="actions" data-actions>
            {actions.filter(action => allowed?.includes(action.command)).map(action => (
                <button key={action.label} class={action.tone} title={action.cli} onClick={() => setOpen(action)}>{action.label}</button>
            ))}
            {refused.length > 0 && (
                <details class="why-not">
                    <summary>Why not …?</summary>
                    <ul class="card">{refused.map(([label, why]) => <li key={label}><span class="strong">{label}</span>: {why}</li>)}</ul>
                </details>
            )}
            <span role="status" class="muted small">{done}</span>
            {open && <Confirm action={open} onClose={() => setOpen(null)} onTaken={position => taken(open, position)} />}
        </div>
    );
}

/** Asks whether a command is meant, and why; then sends it. */
export function Confirm({ action, onClose, onTaken }: {
    action: Action;
    onClose: () => void;
    onTaken: (position: string | undefined) => void;
}) {
    const [reason, setReason] = useState("");
    const [typed, setTyped] = useState("");
    const [problem, setProblem] = useState<Problem | null>(null);
    const [isBusy, setBusy] = useState(false);
    const key = useRef(newKey());
    const form = useId();
    const field = action.reasonField === undefined ? "reason" : action.reasonField;
    const submit = async (event: Event): Promise<void> => {
        event.preventDefault();
        setBusy(true);
        const body = { ...action.request.body, ...(field && reason ? { [field]: reason } : {}) };
        const answer = await tried({ ...action.request, body }, { key: key.current });
        setBusy(false);
        if (!(answer instanceof Problem)) return onTaken(answer.position);
        setProblem(answer);
        // Only a command whose outcome isn't known is the same one when it is sent again.
        if (!answer.isPassing) key.current = newKey();
    };
    return (
        <Dialog title={action.label} onClose={onClose}>
            <form id={form} onSubmit={submit}>
                <div class="explains">{action.explains}</div>
                {field && <Field label="Reason" value={reason} onInput={setReason} required={action.needsReason ?? false} hint="It is kept in the log." />}
                {action.typed && <Field label={`Type “${action.typed}” to go on`} value={typed} onInput={setTyped} autocomplete="off" />}
                {action.cli && <pre class="cli">{action.cli}</pre>}
                {problem && <p class="error" role="alert">{sentence(problem)}</p>}
                <div class="buttons">
                    <button type="button" onClick={onClose}>Back</button>
                    <button class={action.tone ?? "primary"} disabled={isBusy || (action.typed !== undefined && typed !== action.typed)}>
                        {action.label}
                    </button>
                </div>
            </form>
        </Dialog>
    );
}
