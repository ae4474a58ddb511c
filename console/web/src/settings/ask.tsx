/** A button for a command that is asked for again. */
import { useState } from "preact/hooks";
import { Confirm, type Action } from "../parts/action.tsx";
import { at } from "../time/clock.ts";

export function Ask({ action, about, onDone }: { action: Action; about: string; onDone: () => void }) {
    const [isOpen, setOpen] = useState(false);
    if (at.value) return null;
    const taken = (): void => {
        setOpen(false);
        onDone();
    };
    return (
        <>
            <button class={action.tone} aria-label={`${action.label}: ${about}`} onClick={() => setOpen(true)}>{action.label}</button>
            {isOpen && <Confirm action={action} onClose={() => setOpen(false)} onTaken={taken} />}
        </>
    );
}
