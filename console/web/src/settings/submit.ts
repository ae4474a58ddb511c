/** Sends the command of a form, and keeps what the service says about it. */
import { useRef, useState } from "preact/hooks";
import { type Problem } from "../api/problem.ts";
import { Problem as Failure } from "../api/problem.ts";
import { type Command, newKey, type Sent, tried } from "../api/send.ts";

export interface Submit {
    /** The reply; null if the command was refused. */
    submit: (command: Command, options?: { dryRun?: boolean }) => Promise<Sent | null>;
    problem: Problem | null;
    isBusy: boolean;
    /** What the service says about a field. */
    error: (field: string) => string | undefined;
}

export function useSubmit(): Submit {
    const [problem, setProblem] = useState<Problem | null>(null);
    const [isBusy, setBusy] = useState(false);
    const key = useRef(newKey());
    const submit = async (command: Command, { dryRun = false } = {}): Promise<Sent | null> => {
        setBusy(true);
        setProblem(null);
        const answer = await tried(command, { key: key.current, dryRun });
        setBusy(false);
        const failed = answer instanceof Failure ? answer : null;
        // Only a command whose outcome isn't known is the same one when it is sent again.
        if (!failed?.isPassing) key.current = newKey();
        setProblem(failed);
        return failed ? null : (answer as Sent);
    };
    const error = (field: string): string | undefined => problem?.errors.find(one => one.field === field)?.reason;
    return { submit, problem, isBusy, error };
}
