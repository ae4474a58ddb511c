/** The fields of an upload. */
import { Check, Field, Select, Text } from "../parts/field.tsx";
import type { UploadForm } from "./upload_form.ts";

const TYPES = ["firmware", "software", "application", "config", "bootloader", "security_patch"].map(value => ({ value, label: value.replace("_", " ") }));

interface Props {
    form: UploadForm;
    change: (part: Partial<UploadForm>) => void;
    error: (field: string) => string | undefined;
}

export function UploadFields({ form, change, error }: Props) {
    const text = (name: keyof UploadForm, label: string, hint?: string) => (
        <Field label={label} value={String(form[name])} onInput={value => change({ [name]: value })} error={error(name)} hint={hint} autocomplete="off" />
    );
    return (
        <>
            <section class="card stack" aria-labelledby="what">
                <h2 id="what">What it is</h2>
                <div class="pair top">
                    {text("name", "Name")}
                    {text("version", "Version", "Such as 2.1.0 or 2.1.0+b7.")}
                </div>
                <div class="pair top">
                    {text("device_model", "Device model")}
                    <Select label="Type" value={form.update_type} options={TYPES} error={error("update_type")} onChange={update_type => change({ update_type })} />
                    {text("component", "Component", "Empty: by the type.")}
                </div>
                <Text label="Changelog" value={form.changelog} onInput={changelog => change({ changelog })} error={error("changelog")} />
                <Check label="Security update" checked={form.is_security_update} onChange={is_security_update => change({ is_security_update })} />
                <Check label="Beta" checked={form.is_beta} onChange={is_beta => change({ is_beta })} />
                <Check label="Devices may go back to it" checked={form.rollback_allowed} onChange={rollback_allowed => change({ rollback_allowed })} />
            </section>
            <details class="card">
                <summary>Which devices, and more</summary>
                <div class="stack">
                    <div class="pair top">
                        {text("hardware_versions", "Hardware versions", "Separated by commas; empty: any.")}
                        {text("min_hardware_version", "Hardware, at least")}
                        {text("max_hardware_version", "Hardware, at most")}
                    </div>
                    <div class="pair top">
                        {text("requires_version", "Runs before", "A requirement such as >=1.4.0.")}
                        {text("reported_version", "Reported as", "If devices report another version.")}
                        {text("manufacturer", "Manufacturer")}
                    </div>
                    <Text label="Tags" value={form.tags} onInput={tags => change({ tags })} hint="One name=value a line." error={error("tags")} />
                </div>
            </details>
        </>
    );
}
