/** Signatures that go with an upload: as files or as text. */
import { useId, useState } from "preact/hooks";
import { Text } from "../parts/field.tsx";
import { type Part, part } from "./signature.ts";

/** Most signatures of a firmware. */
const SIGNATURES_MAX = 16;
/** Longest text of a signature. */
const TEXT_MAX = 100_000;

const NAMES: Record<Part["name"], string> = { signature: "manifest", minisign: "minisign", cosign_bundle: "cosign" };

interface Props {
    parts: readonly Part[];
    onParts: (parts: readonly Part[]) => void;
    /** The command that makes one. */
    command: string;
}

export function SignatureInput({ parts, onParts, command }: Props) {
    const [text, setText] = useState("");
    const [refused, setRefused] = useState<string | null>(null);
    const id = useId();
    const add = (texts: readonly [name: string, text: string][]): boolean => {
        const read = texts.map(([name, given]) => [name, part(given)] as const);
        const bad = read.filter(([, found]) => found === null).map(([name]) => name);
        setRefused(bad.length > 0 ? `${bad.join(", ")}: this is no signature of \`waybill firmware sign\`, minisign or cosign.` : null);
        onParts([...parts, ...read.flatMap(([, found]) => found ?? [])].slice(0, SIGNATURES_MAX));
        return bad.length === 0;
    };
    const choose = async (files: FileList | null): Promise<void> => {
        const chosen = [...(files ?? [])].filter(file => file.size <= TEXT_MAX);
        add(await Promise.all(chosen.map(async file => [file.name, await file.text()] as [string, string])));
    };
    return (
        <details class="card" open={parts.length > 0}>
            <summary>Signatures{parts.length > 0 ? ` (${parts.length})` : ""}</summary>
            <div class="stack">
                <pre class="cli">{command}</pre>
                {parts.length > 0 && (
                    <ul class="stack">
                        {parts.map((one, n) => (
                            <li key={n} class="buttons">
                                <span>{NAMES[one.name]} · <code class="digest">{one.text.slice(0, 60)}…</code></span>
                                <button type="button" onClick={() => onParts(parts.filter((_, other) => other !== n))}>Remove</button>
                            </li>
                        ))}
                    </ul>
                )}
                <div class="field">
                    <label for={id}>Files of signatures</label>
                    <input id={id} type="file" multiple onChange={event => void choose(event.currentTarget.files)} />
                </div>
                <Text label="Or their text" value={text} onInput={setText} hint="Of `waybill firmware sign`, minisign or cosign." error={refused ?? undefined} />
                <div class="buttons">
                    <button type="button" disabled={text.trim() === ""} onClick={() => add([["The text", text]]) && setText("")}>Add</button>
                </div>
            </div>
        </details>
    );
}
