/** A dialog with a form that becomes a command. The service checks each field, and what it says stands beside the field. */
import type { ComponentChildren } from "preact";
import { useId, useRef, useState } from "preact/hooks";
import { Problem, sentence } from "../api/problem.ts";
import { newKey, tried, type Command, type Sent } from "../api/send.ts";
import type { Device } from "../api/types.ts";
import { Dialog } from "../parts/dialog.tsx";
import { Field } from "../parts/field.tsx";

/** What each form about one device gets. */
export interface FormProps {
    device: Device;
    onClose: () => void;
    onTaken: (position: string | undefined) => void;
}

interface Props {
    title: string;
    /** Text of the button; the title if there is none. */
    verb?: string;
    tone?: "primary" | "danger";
    /** The command of what has been filled in; null while something is missing. */
    request: () => Command | null;
    /** Whether the command takes a reason. */
    hasReason?: boolean;
    cli?: string;
    children: (errors: Record<string, string>) => ComponentChildren;
    onClose: () => void;
    onTaken: (reply: Sent) => void;
}

export function Ask({ title, verb = title, tone = "primary", request, hasReason = true, cli, children, onClose, onTaken }: Props) {
    const [reason, setReason] = useState("");
    const [problem, setProblem] = useState<Problem | null>(null);
    const [isBusy, setBusy] = useState(false);
    const key = useRef(newKey());
    const form = useId();
    const command = request();
    const submit = async (event: Event): Promise<void> => {
        event.preventDefault();
        if (!command) return;
        setBusy(true);
        const body = { ...command.body, ...(hasReason && reason ? { reason } : {}) };
        const answer = await tried({ ...command, body }, { key: key.current });
        setBusy(false);
        if (!(answer instanceof Problem)) return onTaken(answer);
        setProblem(answer);
        // Only a command whose outcome isn't known is the same one when it is sent again.
        if (!answer.isPassing) key.current = newKey();
    };
    const errors = Object.fromEntries((problem?.errors ?? []).map(error => [error.field, error.reason]));
    return (
        <Dialog title={title} onClose={onClose}>
            <form id={form} onSubmit={submit}>
                {children(errors)}
                {hasReason && <Field label="Reason" value={reason} onInput={setReason} hint="It is kept in the log." />}
                {cli && <pre class="cli">{cli}</pre>}
                {problem && <p class="error" role="alert">{sentence(problem)}</p>}
                <div class="buttons">
                    <button type="button" onClick={onClose}>Back</button>
                    <button class={tone} disabled={isBusy || !command}>{verb}</button>
                </div>
            </form>
        </Dialog>
    );
}
