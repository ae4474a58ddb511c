/** The file of an upload: chosen or dropped, with its size and its digest. */
import { useId, useState } from "preact/hooks";
import { bytes, count } from "../time/format.ts";

interface Props {
    file: File | null;
    /** The digest; undefined while it is computed, null if the browser can't. */
    digest: string | null | undefined;
    onFile: (file: File) => void;
    error: string | undefined;
    isDisabled: boolean;
}

export function FileInput({ file, digest, onFile, error, isDisabled }: Props) {
    const [isOver, setOver] = useState(false);
    const id = useId();
    const drop = (event: DragEvent): void => {
        event.preventDefault();
        setOver(false);
        const dropped = event.dataTransfer?.files[0];
        if (dropped && !isDisabled) onFile(dropped);
    };
    return (
        <div class={`drop${isOver ? " over" : ""}`} onDrop={drop} onDragLeave={() => setOver(false)}
            onDragOver={event => {
                event.preventDefault();
                setOver(true);
            }}>
            <div class="field">
                <label for={id}>File</label>
                <input id={id} type="file" disabled={isDisabled} aria-describedby={`${id}-said`}
                    onChange={event => event.currentTarget.files?.[0] && onFile(event.currentTarget.files[0])} />
                <small id={`${id}-said`} class={error ? "error" : "muted"}>{error ?? "Choose it, or drop it here."}</small>
            </div>
            {file && (
                <div aria-live="polite">
                    <p>{file.name} · {bytes(file.size)} <span class="muted small">({count(file.size)} bytes)</span></p>
                    <p class="small">
                        SHA-256{" "}
                        {digest === undefined && <span class="muted">is computed …</span>}
                        {digest === null && <span class="muted">is computed by the service</span>}
                        {digest && <code class="digest">{digest}</code>}
                    </p>
                </div>
            )}
        </div>
    );
}
