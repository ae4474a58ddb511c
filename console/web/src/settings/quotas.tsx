/** The quotas of a tenant, for platform admins. */
import { useState } from "preact/hooks";
import { sentence } from "../api/problem.ts";
import type { Schemas } from "../api/types.ts";
import { Field } from "../parts/field.tsx";
import { to } from "../router/location.ts";
import { changed, quota } from "./rules.ts";
import { useSubmit } from "./submit.ts";

const NAMES = [["devices", "Devices"], ["firmware_bytes", "Bytes of firmware"], ["campaigns", "Live campaigns"], ["requests_per_minute", "Requests a minute"]] as const;

type Texts = Record<(typeof NAMES)[number][0], string>;

export function Quotas({ tenant, onDone }: { tenant: Schemas["TenantBody"]; onDone: () => void }) {
    const before = Object.fromEntries(NAMES.map(([name]) => [name, tenant.quotas[name] ?? null])) as Record<keyof Texts, number | null>;
    const [texts, setTexts] = useState(Object.fromEntries(NAMES.map(([name]) => [name, before[name]?.toString() ?? ""])) as Texts);
    const { submit, problem, isBusy, error } = useSubmit();
    const read = Object.fromEntries(NAMES.map(([name]) => [name, quota(texts[name])])) as Record<keyof Texts, ReturnType<typeof quota>>;
    const isValid = NAMES.every(([name]) => read[name] !== null);
    const after = Object.fromEntries(NAMES.map(([name]) => [name, read[name]?.value ?? null])) as typeof before;
    const difference = changed(before, after);
    const save = async (event: Event): Promise<void> => {
        event.preventDefault();
        if (await submit({ method: "PATCH", path: to`/tenants/${tenant.tenant_id}`, body: { quotas: difference } })) onDone();
    };
    return (
        <form class="stack" onSubmit={save}>
            <div class="pair top">
                {NAMES.map(([name, label]) => (
                    <Field key={name} label={label} value={texts[name]} onInput={text => setTexts({ ...texts, [name]: text })} hint="Empty: no limit."
                        error={read[name] === null ? "A whole number." : error(`quotas.${name}`)} />
                ))}
            </div>
            {problem && <p class="error" role="alert">{sentence(problem)}</p>}
            <div class="buttons"><button disabled={isBusy || !isValid || Object.keys(difference).length === 0}>Save quotas</button></div>
        </form>
    );
}
