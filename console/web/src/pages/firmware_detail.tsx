/** One firmware: what it is, where it runs, who has signed it, what uses it, and what can be done with it. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { type Concerns, of, ofKind, useResource } from "../api/resource.ts";
import type { Firmware } from "../api/types.ts";
import { FirmwareActions } from "../firmware/actions.tsx";
import { Campaigns } from "../firmware/campaigns.tsx";
import { Documents } from "../firmware/documents.tsx";
import { Downloads } from "../firmware/downloads.tsx";
import { Signatures } from "../firmware/signatures.tsx";
import { Timeline } from "../firmware/timeline.tsx";
import { Where } from "../firmware/where.tsx";
import { Page } from "../layout/page.tsx";
import { Badge } from "../parts/badge.tsx";
import { Compared } from "../parts/compared.tsx";
import { Copy } from "../parts/copy.tsx";
import { Facts } from "../parts/facts.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { openTab, Tabs } from "../parts/tabs.tsx";
import { href, to } from "../router/location.ts";
import { at, isComparing } from "../time/clock.ts";
import { bytes, count, words } from "../time/format.ts";
import { Time } from "../time/time.tsx";

const TABS = ["Where it runs", "Signatures", "Documents", "Campaigns", "Downloads", "Timeline"];
/** What is known of a moment of the past. */
const TABS_OF_THE_PAST = ["Where it runs", "Signatures", "Timeline"];

function readFirmware(id: string, moment: string | null, signal: AbortSignal): Promise<Firmware> {
    return body(api.GET("/firmware/{firmware_id}", {
        signal,
        params: { path: { firmware_id: id }, query: moment ? { at_time: moment } : minPosition() },
    }));
}

function isOfFirmware(id: string): Concerns {
    return change => of("firmware", id)(change) || ofKind("campaign")(change);
}

export function FirmwareDetail({ params }: { params: Record<string, string> }) {
    const id = params.id ?? "";
    const moment = at.value;
    const firmware = useResource(`firmware ${id} ${moment}`, signal => readFirmware(id, moment, signal), moment ? null : isOfFirmware(id));
    const data = firmware.data;
    if (!data && firmware.problem?.status === 404) {
        return (
            <Page title="No such firmware" showsPast>
                <Empty title={moment ? "There was no firmware with this id then" : "There is no firmware with this id"}>
                    <a class="button" href={href("/firmware")}>All firmware</a>
                </Empty>
            </Page>
        );
    }
    const name = data ? `${data.name} ${data.version}` : "Firmware";
    return (
        <Page title={name} tabTitle={data && data.status !== "active" ? `${words(data.status)} · ${name}` : name} showsPast compares source={to`/firmware/${id}`}
            aside={data && <Badge state={data.status} />}>
            <Shown of={firmware}>
                {shown => (
                    <>
                        <Head firmware={shown} reload={firmware.reload} />
                        {isComparing.value && (
                            <Compared aggregate={`firmware/${id}`} then={shown} id={`firmware ${id} null`} read={signal => readFirmware(id, null, signal)}
                                live={isOfFirmware(id)} skipped={["downloads"]} />
                        )}
                        <Details firmware={shown} />
                    </>
                )}
            </Shown>
        </Page>
    );
}

function Head({ firmware, reload }: { firmware: Firmware; reload: () => void }) {
    const hardware = firmware.hardware_versions.join(", ") || range(firmware.min_hardware_version, firmware.max_hardware_version);
    return (
        <>
            {(firmware.warnings ?? []).map(warning => (
                <p key={warning} class="notice warn"><span><span aria-hidden="true">! </span>{warning}</span></p>
            ))}
            <FirmwareActions firmware={firmware} reload={reload} />
            <div class="columns">
                <section class="card stack" aria-labelledby="what">
                    <h2 id="what">What it is</h2>
                    <Facts facts={[
                        ["Model", <a href={href("/devices", { device_model: firmware.device_model })}>{firmware.device_model}</a>],
                        ["Component", words(firmware.component)],
                        ["Type", [words(firmware.update_type), firmware.is_security_update && "security update", firmware.is_beta && "beta"].filter(Boolean).join(", ")],
                        ["Hardware", hardware || "any"],
                        ["Runs before", firmware.requires_version ?? "any version"],
                        firmware.reported_version ? ["Reported as", firmware.reported_version] : null,
                        firmware.manufacturer ? ["Manufacturer", firmware.manufacturer] : null,
                        ["Reboot", firmware.requires_reboot ? "needed" : "not needed"],
                        ["Rollback", firmware.rollback_allowed ? "allowed" : "not allowed"],
                        ...Object.entries(firmware.tags).map(([tag, value]): [string, string] => [`Tag ${tag}`, value]),
                        ["Uploaded", <Time at={firmware.created_at} />],
                    ]} />
                    {firmware.changelog && <p class="changelog">{firmware.changelog}</p>}
                </section>
                <section class="card stack" aria-labelledby="file">
                    <h2 id="file">File</h2>
                    <Facts facts={[
                        ["Name", firmware.filename ?? "–"],
                        ["Size", `${bytes(firmware.file_size)} (${count(firmware.file_size)} bytes)`],
                        ["SHA-256", <code class="digest">{firmware.checksum_sha256}</code>],
                        ["SHA-1", <code class="digest">{firmware.checksum_sha1}</code>],
                        ["MD5", <code class="digest">{firmware.checksum_md5}</code>],
                        ["Id", <code class="digest">{firmware.firmware_id}</code>],
                        firmware.downloads ? ["Downloads", `${count(firmware.downloads.completed)} of ${count(firmware.downloads.started)} completed, ${bytes(firmware.downloads.bytes)}`] : null,
                    ]} />
                    <div class="buttons"><Copy text={firmware.checksum_sha256} label="Copy SHA-256" /></div>
                </section>
            </div>
        </>
    );
}

function range(least: string | null | undefined, most: string | null | undefined): string {
    if (least && most) return `${least} to ${most}`;
    return least ? `${least} or later` : most ? `up to ${most}` : "";
}

function Details({ firmware }: { firmware: Firmware }) {
    const tabs = at.value ? TABS_OF_THE_PAST : TABS;
    const shown = openTab(tabs);
    const id = firmware.firmware_id;
    return (
        <>
            <Tabs tabs={tabs} label="Details" />
            {shown === "Where it runs" && <Where firmware={firmware} />}
            {shown === "Signatures" && <Signatures firmware={firmware} />}
            {shown === "Documents" && <Documents id={id} />}
            {shown === "Campaigns" && <Campaigns id={id} />}
            {shown === "Downloads" && <Downloads id={id} />}
            {shown === "Timeline" && <Timeline id={id} />}
        </>
    );
}
