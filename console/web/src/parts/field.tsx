/** Inputs of forms, each with its label, and with what the service says about its value. */
import { useEffect, useId, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";

interface Common {
    label: string;
    hint?: ComponentChildren;
    error?: string | undefined;
}

interface FieldProps extends Common {
    value: string;
    onInput: (value: string) => void;
    /** Only a finished value counts, after Enter or in another field: the service refuses its beginning. */
    isFinished?: boolean;
    type?: "text" | "password" | "number" | "search" | "datetime-local" | "date";
    required?: boolean;
    autocomplete?: "on" | "off";
    placeholder?: string;
    min?: number;
    max?: number;
    list?: string | undefined;
}

export function Field({ label, hint, error, value, onInput, isFinished = false, type = "text", ...rest }: FieldProps) {
    const id = useId();
    const [draft, setDraft] = useState(value);
    useEffect(() => setDraft(value), [value]);
    return (
        <div class="field">
            <label for={id}>{label}</label>
            <input id={id} type={type as "text"} value={isFinished ? draft : value} spellcheck={false} aria-describedby={`${id}-hint`} aria-invalid={error ? true : undefined}
                onInput={event => (isFinished ? setDraft : onInput)(event.currentTarget.value)}
                onChange={event => isFinished && onInput(event.currentTarget.value)} {...rest} />
            <Said id={`${id}-hint`} hint={hint} error={error} />
        </div>
    );
}

interface SelectProps extends Common {
    value: string;
    options: readonly (string | { value: string; label: string })[];
    onChange: (value: string) => void;
}

export function Select({ label, hint, error, value, options, onChange }: SelectProps) {
    const id = useId();
    return (
        <div class="field">
            <label for={id}>{label}</label>
            <select id={id} value={value} aria-describedby={`${id}-hint`} onChange={event => onChange(event.currentTarget.value)}>
                {options.map(option => {
                    const { value: own, label: shown } = typeof option === "string" ? { value: option, label: option } : option;
                    return <option key={own} value={own} selected={own === value}>{shown}</option>;
                })}
            </select>
            <Said id={`${id}-hint`} hint={hint} error={error} />
        </div>
    );
}

export function Check({ label, checked, onChange, hint }: Common & { checked: boolean; onChange: (value: boolean) => void }) {
    const id = useId();
    return (
        <div class="field check">
            <input id={id} type="checkbox" checked={checked} aria-describedby={`${id}-hint`}
                onChange={event => onChange(event.currentTarget.checked)} />
            <label for={id}>{label}</label>
            <Said id={`${id}-hint`} hint={hint} error={undefined} />
        </div>
    );
}

export function Text({ label, hint, error, value, onInput, rows = 3 }: Common & { value: string; onInput: (value: string) => void; rows?: number }) {
    const id = useId();
    return (
        <div class="field">
            <label for={id}>{label}</label>
            <textarea id={id} rows={rows} value={value} aria-describedby={`${id}-hint`} onInput={event => onInput(event.currentTarget.value)} />
            <Said id={`${id}-hint`} hint={hint} error={error} />
        </div>
    );
}

function Said({ id, hint, error }: { id: string; hint: ComponentChildren; error: string | undefined }) {
    return (
        <small id={id} class={error ? "error" : "muted"}>
            {error ?? hint}
        </small>
    );
}
