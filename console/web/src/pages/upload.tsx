/** Upload of a firmware, with its signatures, its progress and its digest. */
import { useEffect, useRef, useState } from "preact/hooks";
import { asProblem } from "../api/client.ts";
import { type Problem, sentence } from "../api/problem.ts";
import { newKey } from "../api/send.ts";
import { FileInput } from "../firmware/file_input.tsx";
import { Progress, type Sending } from "../firmware/progress.tsx";
import { CANCELLED, checkMetadata, sendFile, sha256, type Uploaded } from "../firmware/send_file.ts";
import type { Part } from "../firmware/signature.ts";
import { SignatureInput } from "../firmware/signature_input.tsx";
import { EMPTY, fieldOf, metadata, type UploadForm } from "../firmware/upload_form.ts";
import { UploadFields } from "../firmware/upload_fields.tsx";
import { Page } from "../layout/page.tsx";
import { Facts } from "../parts/facts.tsx";
import { Field } from "../parts/field.tsx";
import { href, to } from "../router/location.ts";
import { may } from "../session/session.ts";
import { bytes } from "../time/format.ts";

export function Upload(_: { params: Record<string, string> }) {
    const [done, setDone] = useState<Uploaded | null>(null);
    if (!may("operator")) {
        return <Page title="Upload firmware"><p class="notice warn"><span><span aria-hidden="true">! </span>Uploads need the role operator.</span></p></Page>;
    }
    return (
        <Page title="Upload firmware">
            {done ? <Done uploaded={done} again={() => setDone(null)} /> : <Editor onDone={setDone} />}
        </Page>
    );
}

/** The digest of a file; undefined while it is computed. */
function useDigest(file: File | null): string | null | undefined {
    const [known, setKnown] = useState<{ file: File; digest: string | null } | null>(null);
    useEffect(() => {
        if (!file) return;
        let isWanted = true;
        const keep = (digest: string | null): void => {
            if (isWanted) setKnown({ file, digest });
        };
        sha256(file).then(keep, () => keep(null));
        return () => {
            isWanted = false;
        };
    }, [file]);
    return known?.file === file ? known?.digest : undefined;
}

function Editor({ onDone }: { onDone: (uploaded: Uploaded) => void }) {
    const [form, setForm] = useState<UploadForm>(EMPTY);
    const [file, setFile] = useState<File | null>(null);
    const [signatures, setSignatures] = useState<readonly Part[]>([]);
    const [reason, setReason] = useState("");
    const [sending, setSending] = useState<Sending | null>(null);
    const [problem, setProblem] = useState<Problem | null>(null);
    const digest = useDigest(file);
    const cancel = useRef<AbortController | null>(null);
    const key = useRef(newKey());
    useEffect(() => () => cancel.current?.abort(), []);

    const submit = async (event: Event): Promise<void> => {
        event.preventDefault();
        if (!file) return;
        const startedAt = Date.now();
        cancel.current = new AbortController();
        setProblem(null);
        setSending({ sent: 0, whole: file.size, startedAt });
        const sent = metadata(form, file.size, digest ?? null);
        try {
            await checkMetadata(sent, reason);
            onDone(await sendFile({
                file, signatures, reason, key: key.current, metadata: sent, signal: cancel.current.signal,
                onProgress: (bytes, whole) => setSending({ sent: bytes, whole, startedAt }),
            }));
        } catch (thrown) {
            const failed = asProblem(thrown);
            // Only an upload whose outcome isn't known is the same one when it is sent again.
            if (!failed.isPassing || failed.code === CANCELLED) key.current = newKey();
            setProblem(failed);
        }
        setSending(null);
    };
    const errorOf = (field: string): string | undefined => problem?.errors.find(one => fieldOf(one.field) === field)?.reason;
    const isReady = file !== null && digest !== undefined && form.name !== "" && form.version !== "" && form.device_model !== "";
    return (
        <form class="columns editor" onSubmit={submit}>
            <div class="stack">
                <FileInput file={file} digest={digest} onFile={setFile} isDisabled={sending !== null} error={errorOf("file") ?? errorOf("checksum_sha256")} />
                <UploadFields form={form} change={part => setForm({ ...form, ...part })} error={errorOf} />
                <SignatureInput parts={signatures} onParts={setSignatures} command={signCommand(form, file)} />
            </div>
            <section class="card stack beside" aria-labelledby="send">
                <h2 id="send">Upload</h2>
                <Field label="Reason" value={reason} onInput={setReason} hint="It is kept in the log." />
                {problem && (
                    <div class={`notice ${problem.code === CANCELLED ? "warn" : "bad"}`} role="alert">
                        <span><span aria-hidden="true">{problem.code === CANCELLED ? "! " : "✕ "}</span>{problem.code === "unreachable" ? "The service can't be reached. Upload it again." : sentence(problem)}</span>
                    </div>
                )}
                {sending ? <Progress sending={sending} onCancel={() => cancel.current?.abort()} /> : (
                    <>
                        <div class="buttons"><button class="primary" disabled={!isReady}>Upload</button></div>
                        {!isReady && <p class="muted small">{missing(form, file, digest)}</p>}
                    </>
                )}
                <details>
                    <summary>The same in the command line</summary>
                    <pre class="cli">{uploadCommand(form, file)}</pre>
                </details>
            </section>
        </form>
    );
}

function missing(form: UploadForm, file: File | null, digest: string | null | undefined): string {
    const needed = [!file && "the file", !form.name && "its name", !form.version && "its version", !form.device_model && "the device model"].filter(Boolean);
    if (needed.length > 0) return `It needs ${needed.join(", ")}.`;
    return digest === undefined ? "The digest is computed." : "";
}

const quoted = (text: string): string => (/^[\w.+/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function signCommand(form: UploadForm, file: File | null): string {
    return `waybill firmware sign --key KEY.pem --device-model ${quoted(form.device_model || "MODEL")} --version ${quoted(form.version || "VERSION")} ${quoted(file?.name ?? "FILE")}`;
}

function uploadCommand(form: UploadForm, file: File | null): string {
    const { name, version, device_model } = form;
    return `waybill firmware upload ${quoted(file?.name ?? "FILE")} --name ${quoted(name || "NAME")} --version ${quoted(version || "VERSION")} --device-model ${quoted(device_model || "MODEL")}`;
}

function Done({ uploaded, again }: { uploaded: Uploaded; again: () => void }) {
    const { firmware, wasThere } = uploaded;
    return (
        <section class="card stack" aria-label="Uploaded">
            <p class="notice ok" role="status">
                <span><span aria-hidden="true">✓ </span>{wasThere ? "The service had this firmware already." : `${firmware.name} ${firmware.version} is there.`}</span>
            </p>
            <Facts facts={[
                ["Firmware", `${firmware.name} ${firmware.version}`], ["Size", bytes(firmware.file_size)],
                ["SHA-256", <code class="digest">{firmware.checksum_sha256}</code>],
                ["Signatures", String(firmware.signatures.length)],
            ]} />
            <div class="buttons">
                <a class="button primary" href={href(to`/firmware/${firmware.firmware_id}`)}>Open</a>
                <a class="button" href={href("/campaigns/new", { firmware: firmware.firmware_id })}>New campaign</a>
                <button onClick={again}>Upload another</button>
            </div>
        </section>
    );
}
