/** Imports the devices of an application of ChirpStack, after saying which. */
import { useState } from "preact/hooks";
import { sentence } from "../api/problem.ts";
import type { Sent } from "../api/send.ts";
import { Field } from "../parts/field.tsx";
import { words } from "../time/format.ts";
import { useSubmit } from "./submit.ts";

export function Import() {
    const [application, setApplication] = useState("");
    const [model, setModel] = useState("");
    const [answer, setAnswer] = useState<{ sent: Sent; isDry: boolean } | null>(null);
    const { submit, problem, isBusy, error } = useSubmit();
    const send = async (dryRun: boolean): Promise<void> => {
        const sent = await submit({ method: "POST", path: "/devices/import/chirpstack", body: { application_id: application, ...(model ? { device_model: model } : {}) } }, { dryRun });
        setAnswer(sent && { sent, isDry: dryRun });
    };
    const numbers = Object.entries(answer?.sent ?? {}).filter(([, value]) => typeof value === "number");
    return (
        <form class="card stack" aria-labelledby="import" onSubmit={event => {
            event.preventDefault();
            void send(true);
        }}>
            <h2 id="import">Import devices</h2>
            <div class="pair top">
                <Field label="Application" value={application} onInput={setApplication} error={error("application_id")} hint="Its id in ChirpStack." />
                <Field label="Model" value={model} onInput={setModel} error={error("device_model")} hint="Of devices without a tag device_model." />
            </div>
            {problem && <p class="error" role="alert">{sentence(problem)}</p>}
            {answer && (
                <p role="status">
                    {answer.isDry ? "Would be: " : "Done: "}{numbers.map(([name, value]) => `${words(name)} ${String(value)}`).join(", ") || "nothing"}.
                </p>
            )}
            <div class="buttons">
                <button disabled={isBusy || application === ""}>What would come?</button>
                {answer?.isDry && <button type="button" class="primary" disabled={isBusy} onClick={() => void send(false)}>Import</button>}
            </div>
        </form>
    );
}
