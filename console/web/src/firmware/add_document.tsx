/** The form that adds a document to a firmware. The service recognises its format. */
import { useEffect, useRef, useState } from "preact/hooks";
import { asProblem } from "../api/client.ts";
import { type Problem, sentence } from "../api/problem.ts";
import { newKey } from "../api/send.ts";
import type { Schemas } from "../api/types.ts";
import { Field, Select } from "../parts/field.tsx";
import { several } from "../time/format.ts";
import { FileInput } from "./file_input.tsx";
import { sendDocument } from "./send_document.ts";

export function AddDocument({ id, present, onDone }: {
    id: string;
    /** The documents that the firmware has, which a new one can replace. */
    present: readonly { value: string; label: string }[];
    onDone: () => void;
}) {
    const [file, setFile] = useState<File | null>(null);
    const [product, setProduct] = useState("");
    const [replaces, setReplaces] = useState("");
    const [reason, setReason] = useState("");
    const [answer, setAnswer] = useState<Schemas["DocumentBody"] | null>(null);
    const [problem, setProblem] = useState<Problem | null>(null);
    const [isBusy, setBusy] = useState(false);
    const key = useRef(newKey());
    const left = useRef(new AbortController());
    useEffect(() => () => left.current.abort(), []);
    const submit = async (event: Event): Promise<void> => {
        event.preventDefault();
        if (!file) return;
        setBusy(true);
        setProblem(null);
        setAnswer(null);
        try {
            setAnswer(await sendDocument(id, { file, product: product.trim(), replaces, reason, key: key.current, signal: left.current.signal }));
            key.current = newKey();
            setReplaces("");
            onDone();
        } catch (thrown) {
            const failed = asProblem(thrown);
            // Only a command whose outcome isn't known is the same one when it is sent again.
            if (!failed.isPassing) key.current = newKey();
            setProblem(failed);
        }
        setBusy(false);
    };
    const error = (field: string): string | undefined => problem?.errors.find(one => one.field === field)?.reason;
    return (
        <form class="card stack" aria-labelledby="add-document" onSubmit={submit}>
            <h2 id="add-document">Add a document</h2>
            <FileInput file={file} digest={null} onFile={setFile} isDisabled={isBusy} error={error("document")} />
            <div class="pair top">
                <Field label="Product" value={product} onInput={setProduct} error={error("product")} hint="Which product of a VEX it is. Empty: found by its digest." />
                {present.length > 0 && <Select label="In the place of" value={replaces} options={[{ value: "", label: "none" }, ...present]} onChange={setReplaces} error={error("replaces")} />}
                <Field label="Reason" value={reason} onInput={setReason} hint="It is kept in the log." />
            </div>
            {problem && <p class="error" role="alert">{sentence(problem)}</p>}
            {answer && (
                <p role="status">
                    Added as {answer.format}{answer.entries == null ? "" : ` with ${several(answer.entries, "entry", "entries")}`}.{(answer.warnings ?? []).map(warning => ` ${warning}.`)}
                </p>
            )}
            <div class="buttons"><button class="primary" disabled={isBusy || file === null}>{isBusy ? "Uploading …" : "Add"}</button></div>
        </form>
    );
}
