/** The frame of a form in a dialog: its reason, what the service says, and its buttons. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { sentence } from "../api/problem.ts";
import type { Command, Sent } from "../api/send.ts";
import { Dialog } from "../parts/dialog.tsx";
import { Field } from "../parts/field.tsx";
import { type Submit, useSubmit } from "./submit.ts";

interface Props {
    title: string;
    /** What is sent, without the reason. */
    command: Command;
    label: string;
    isReady?: boolean;
    cli?: string;
    onClose: () => void;
    onDone: (sent: Sent) => void;
    /** The fields; they get what the service says about them. */
    children: (error: Submit["error"]) => ComponentChildren;
}

export function FormDialog({ title, command, label, isReady = true, cli, onClose, onDone, children }: Props) {
    const [reason, setReason] = useState("");
    const { submit, problem, isBusy, error } = useSubmit();
    const send = async (event: Event): Promise<void> => {
        event.preventDefault();
        const sent = await submit({ ...command, body: { ...command.body, ...(reason ? { reason } : {}) } });
        if (sent) onDone(sent);
    };
    return (
        <Dialog title={title} onClose={onClose}>
            <form onSubmit={send}>
                {children(error)}
                <Field label="Reason" value={reason} onInput={setReason} hint="It is kept in the log." />
                {cli && <pre class="cli">{cli}</pre>}
                {problem && <p class="error" role="alert">{sentence(problem)}</p>}
                <div class="buttons">
                    <button type="button" onClick={onClose}>Back</button>
                    <button class="primary" disabled={isBusy || !isReady}>{label}</button>
                </div>
            </form>
        </Dialog>
    );
}
