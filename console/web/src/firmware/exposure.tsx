/** Which devices a vulnerability concerns, by the VEX documents of all firmware. The URL has its number. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { of, useResource } from "../api/resource.ts";
import { Badge } from "../parts/badge.tsx";
import { Facts } from "../parts/facts.tsx";
import { Field } from "../parts/field.tsx";
import { Shown } from "../parts/states.tsx";
import { query, setQuery } from "../router/location.ts";
import { count, several } from "../time/format.ts";
import { Time } from "../time/time.tsx";

const TONES = { affected: "bad", under_investigation: "warn", not_affected: "ok" } as const;

export function Exposure({ firmware }: { firmware: string }) {
    const cve = query.value.get("cve") ?? "";
    const answer = useResource(cve ? `exposure ${cve}` : null, signal =>
        body(api.GET("/exposure", { signal, params: { query: { cve, ...minPosition() } } })), of("firmware", firmware));
    return (
        <section class="card stack" aria-labelledby="exposure">
            <h2 id="exposure">Who is exposed?</h2>
            <div class="filters">
                <Field label="Vulnerability" type="search" isFinished value={cve} placeholder="CVE-2022-3602" onInput={value => setQuery({ cve: value.trim() || null }, { replace: true })} />
            </div>
            {cve && (
                <Shown of={answer}>
                    {({ at, devices, firmware: found, unread_documents }) => {
                        const own = found.find(one => one.firmware_id === firmware)?.exposure;
                        return (
                            <>
                                {unread_documents > 0 && <p class="notice warn"><span><span aria-hidden="true">! </span>{several(unread_documents, "new document")} not read yet: ask again in some seconds.</span></p>}
                                <Facts facts={[
                                    ["This firmware", own ? <Badge state={own} tone={TONES[own as keyof typeof TONES]} /> : "no VEX speaks of it"],
                                    ["Affected devices", count(devices.affected)], ["Of these, a fix is there for", count(devices.fix_offered)],
                                    ["Under investigation", count(devices.under_investigation)], ["Not affected", count(devices.not_affected)], ["Unknown", count(devices.unknown)],
                                ]} />
                                <p class="muted small">As of <Time at={at} /></p>
                            </>
                        );
                    }}
                </Shown>
            )}
        </section>
    );
}
