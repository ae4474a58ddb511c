/** The change of a device that a form asks for: only what differs, and null where something was cleared. Pure. */
import type { Device } from "../api/types.ts";

export const EDITABLE = [
    ["name", "Name"], ["device_model", "Model"], ["device_type", "Type"], ["hardware_version", "Hardware"], ["manufacturer", "Manufacturer"],
    ["owner", "Owner"], ["timezone", "Time zone"], ["lorawan_dev_eui", "DevEUI"], ["join_eui", "JoinEUI"], ["chirpstack_app_id", "Application"],
    ["device_profile_id", "Device profile"],
] as const;

export type Edited = Record<string, string>;

/** What the form begins with. */
export function fields(device: Device): Edited {
    return Object.fromEntries(EDITABLE.map(([name]) => [name, device[name] ?? ""]));
}

/** Tags as lines `key: value`. */
export function tagLines(tags: Record<string, string>): string {
    return Object.entries(tags).map(([key, value]) => `${key}: ${value}`).join("\n");
}

export function readTags(lines: string): Record<string, string> {
    return Object.fromEntries(lines.split("\n").map(line => line.trim()).filter(line => line !== "").map(line => {
        const at = line.indexOf(":");
        return at < 0 ? [line, ""] : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
    }));
}

export function patchOf(device: Device, edited: Edited, lines: string): Record<string, unknown> {
    const patch: Record<string, unknown> = {};
    for (const [name] of EDITABLE) {
        const value = (edited[name] ?? "").trim();
        if (value !== (device[name] ?? "")) patch[name] = value === "" ? null : value;
    }
    const wanted = readTags(lines);
    const tags: Record<string, string | null> = {};
    for (const key of Object.keys(device.tags)) if (!(key in wanted)) tags[key] = null;
    for (const [key, value] of Object.entries(wanted)) if (device.tags[key] !== value) tags[key] = value;
    if (lines !== tagLines(device.tags) && Object.keys(tags).length > 0) patch.tags = tags;
    return patch;
}
