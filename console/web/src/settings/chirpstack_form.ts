/** The connection of a tenant to its ChirpStack, as it is typed and sent. Secrets that are left out stay. Pure. */
import { listOf } from "./rules.ts";

export interface Connection {
    url: string;
    chirpstack_tenant_id: string;
    ca?: string | null;
    default_device_profile_id?: string | null;
    auto_import: string[];
    webhook_header: string;
    mqtt?: { url: string; username?: string | null; event_topic: string; ca?: string | null } | null;
}

export interface ChirpStackForm {
    url: string;
    chirpstack_tenant_id: string;
    api_key: string;
    ca: string;
    default_device_profile_id: string;
    auto_import: string;
    webhook_header: string;
    webhook_secret: string;
    mqtt_url: string;
    mqtt_username: string;
    mqtt_password: string;
    mqtt_topic: string;
    mqtt_ca: string;
}

export function formOf(known: Connection | null): ChirpStackForm {
    return {
        url: known?.url ?? "", chirpstack_tenant_id: known?.chirpstack_tenant_id ?? "", api_key: "", ca: known?.ca ?? "",
        default_device_profile_id: known?.default_device_profile_id ?? "", auto_import: (known?.auto_import ?? []).join("\n"),
        webhook_header: known?.webhook_header ?? "", webhook_secret: "", mqtt_url: known?.mqtt?.url ?? "", mqtt_username: known?.mqtt?.username ?? "",
        mqtt_password: "", mqtt_topic: known?.mqtt?.event_topic ?? "", mqtt_ca: known?.mqtt?.ca ?? "",
    };
}

function filled(texts: Record<string, string>): Record<string, string> {
    return Object.fromEntries(Object.entries(texts).filter(([, text]) => text.trim() !== ""));
}

export function requestOf(form: ChirpStackForm): Record<string, unknown> {
    const { auto_import, mqtt_url, mqtt_username, mqtt_password, mqtt_topic, mqtt_ca, ...texts } = form;
    const mqtt = filled({ url: mqtt_url, username: mqtt_username, password: mqtt_password, event_topic: mqtt_topic, ca: mqtt_ca });
    return {
        ...filled(texts),
        ...(auto_import.trim() === "" ? {} : { auto_import: listOf(auto_import) }),
        ...(mqtt_url.trim() === "" ? {} : { mqtt }),
    };
}
