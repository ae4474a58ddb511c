/** The filter of a dynamic group. Pure. */
import { tagsOf } from "../firmware/upload_form.ts";

export interface GroupFilter {
    device_model?: string | null;
    device_type?: string | null;
    hardware_version?: string | null;
    firmware_version?: string | null;
    tags?: Record<string, string> | null;
}

export interface Texts {
    device_model: string;
    device_type: string;
    hardware_version: string;
    firmware_version: string;
    tags: string;
}

export const FIELDS = [
    ["device_model", "Model", ""], ["device_type", "Type", ""], ["hardware_version", "Hardware version", ""],
    ["firmware_version", "Runs", "A requirement such as <2.0.0."],
] as const;

export function textsOf(filter: GroupFilter | null | undefined): Texts {
    const text = (name: (typeof FIELDS)[number][0]): string => filter?.[name] ?? "";
    return {
        device_model: text("device_model"), device_type: text("device_type"), hardware_version: text("hardware_version"), firmware_version: text("firmware_version"),
        tags: Object.entries(filter?.tags ?? {}).map(([tag, value]) => `${tag}=${value}`).join("\n"),
    };
}

export function filterOf({ tags, ...texts }: Texts): GroupFilter {
    const given = Object.entries(texts).filter(([, text]) => text.trim() !== "").map(([name, text]) => [name, text.trim()]);
    return { ...Object.fromEntries(given), ...(tags.trim() === "" ? {} : { tags: tagsOf(tags) }) };
}

/** A filter as words: `model A, runs <2.0.0`. */
export function sayFilter(filter: GroupFilter | null | undefined): string {
    const { tags, ...texts } = textsOf(filter);
    const said = FIELDS.flatMap(([name, label]) => (texts[name] === "" ? [] : [`${label.toLowerCase()} ${texts[name]}`]));
    return [...said, ...(tags === "" ? [] : [tags.split("\n").join(", ")])].join(", ") || "all devices";
}
