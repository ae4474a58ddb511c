/** Registers one device. */
import { useState } from "preact/hooks";
import { Field, Text } from "../parts/field.tsx";
import { href, navigate, to } from "../router/location.ts";
import { Ask } from "./ask.tsx";
import { splitTag, tagsOf } from "./filters.ts";

export function Register({ onClose }: { onClose: () => void }) {
    const [filled, setFilled] = useState<Record<string, string>>({});
    const field = (name: string, label: string, errors: Record<string, string>, hint?: string) => (
        <Field label={label} value={filled[name] ?? ""} hint={hint} error={errors[name]} onInput={value => setFilled(before => ({ ...before, [name]: value }))} />
    );
    const { tags = "", ...plain } = filled;
    const body: Record<string, unknown> = Object.fromEntries(Object.entries(plain).map(([name, value]) => [name, value.trim()]).filter(([, value]) => value !== ""));
    if (tags.trim()) body.tags = Object.fromEntries(tagsOf(tags.replaceAll("\n", ",")).map(splitTag));
    return (
        <Ask title="Register a device" verb="Register" request={() => ({ method: "POST", path: "/devices", body })} onClose={onClose}
            onTaken={reply => navigate(href(to`/devices/${String(reply.device_id)}`, { tab: "Access" }))}>
            {errors => (
                <>
                    <div class="pair">
                        {field("device_id", "Id", errors, "Letters, digits, _ : and -. Empty: one is made.")}
                        {field("name", "Name", errors)}
                        {field("device_model", "Model", errors)}
                        {field("device_type", "Type", errors)}
                        {field("hardware_version", "Hardware", errors)}
                        {field("firmware_version", "Runs firmware", errors)}
                    </div>
                    <details>
                        <summary>LoRaWAN</summary>
                        <div class="pair">
                            {field("lorawan_dev_eui", "DevEUI", errors, "16 hexadecimal digits")}
                            {field("join_eui", "JoinEUI", errors)}
                            {field("chirpstack_app_id", "Application", errors)}
                            {field("device_profile_id", "Device profile", errors)}
                        </div>
                    </details>
                    <Text label="Tags" rows={2} value={tags} hint="site:berlin, floor:2" error={errors.tags} onInput={value => setFilled(before => ({ ...before, tags: value }))} />
                </>
            )}
        </Ask>
    );
}
