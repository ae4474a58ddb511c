/** The form of an upload, and what is sent. Pure. */

export interface UploadForm {
    name: string;
    version: string;
    device_model: string;
    component: string;
    update_type: string;
    manufacturer: string;
    changelog: string;
    hardware_versions: string;
    min_hardware_version: string;
    max_hardware_version: string;
    requires_version: string;
    reported_version: string;
    tags: string;
    is_beta: boolean;
    is_security_update: boolean;
    rollback_allowed: boolean;
}

export const EMPTY: UploadForm = {
    name: "", version: "", device_model: "", component: "", update_type: "firmware", manufacturer: "", changelog: "", hardware_versions: "",
    min_hardware_version: "", max_hardware_version: "", requires_version: "", reported_version: "", tags: "", is_beta: false,
    is_security_update: false, rollback_allowed: true,
};

/** Lines `name=value` as tags. */
export function tagsOf(text: string): Record<string, string> {
    const lines = text.split("\n").map(line => line.trim()).filter(line => line !== "");
    return Object.fromEntries(lines.map(line => {
        const at = line.indexOf("=");
        return at < 0 ? [line, ""] : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
    }));
}

/** The metadata that goes with a file: what is empty is left out. */
export function metadata(form: UploadForm, size: number, sha256: string | null): Record<string, unknown> {
    const { tags, hardware_versions, is_beta, is_security_update, rollback_allowed, ...texts } = form;
    const given = Object.entries(texts).map(([name, text]): [string, string] => [name, text.trim()]).filter(([, text]) => text !== "");
    const hardware = hardware_versions.split(",").map(one => one.trim()).filter(one => one !== "");
    return {
        ...Object.fromEntries(given),
        ...(hardware.length > 0 ? { hardware_versions: hardware } : {}),
        ...(tags.trim() === "" ? {} : { tags: tagsOf(tags) }),
        is_beta, is_security_update, rollback_allowed,
        file_size: size,
        ...(sha256 ? { checksum_sha256: sha256 } : {}),
    };
}

/** The field of the form that an error of the service is about. */
export function fieldOf(field: string): string {
    return field.replace(/^metadata\./, "").replace(/\[.*$/, "");
}

/** How fast something goes and how long it still takes, in bytes a second and seconds; null while that isn't known. */
export function pace(sent: number, whole: number, elapsedMs: number): { rate: number; left: number } | null {
    if (elapsedMs < 500 || sent === 0) return null;
    const rate = (sent / elapsedMs) * 1_000;
    return { rate, left: (whole - sent) / rate };
}
