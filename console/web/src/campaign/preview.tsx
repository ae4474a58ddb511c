/** What a campaign would do: who, in which waves, who is left out and why, how much, and how long. */
import type { Preview } from "../api/types.ts";
import { Facts } from "../parts/facts.tsx";
import { href, to } from "../router/location.ts";
import { bytes, count, duration, several, words } from "../time/format.ts";

export function PreviewBody({ preview }: { preview: Preview }) {
    const left = Object.entries(preview.excluded);
    const most = Math.max(1, ...preview.waves.map(wave => wave.devices));
    return (
        <div class="stack" data-preview={preview.devices}>
            {(preview.warnings ?? []).map(warning => (
                <p key={warning} class="notice warn"><span><span aria-hidden="true">! </span>{warning}</span></p>
            ))}
            <Facts facts={[
                ["Devices", <span class="strong">{count(preview.devices)}</span>],
                ["Firmware", preview.firmware_version],
                ["Bytes", bytes(preview.bytes)],
                ["Expected time", `${duration(preview.expected_duration.seconds)} (${preview.expected_duration.basis === "assumption" ? "assumed" : `from ${several(preview.expected_duration.measured_updates, "update")}`})`],
            ]} />
            <ol class="preview-waves" aria-label="Waves">
                {preview.waves.map(wave => (
                    <li key={wave.wave}>
                        <span>{wave.name ?? `Wave ${wave.wave}`}</span>
                        <svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">
                            <rect class="bar-work" x="0" y="0" height="10" width={(wave.devices / most) * 1_000} />
                        </svg>
                        <span class="muted">
                            {several(wave.devices, "device")} · {duration(wave.expected_seconds)}{wave.soak_seconds > 0 && `, then ${duration(wave.soak_seconds)} soak`}
                        </span>
                    </li>
                ))}
            </ol>
            <section aria-label="Left out">
                <h3>Left out: {left.length === 0 ? "nobody" : several(left.reduce((sum, [, devices]) => sum + devices, 0), "device")}</h3>
                {left.map(([reason, devices]) => (
                    <details key={reason}>
                        <summary>{words(reason)}: {several(devices, "device")}</summary>
                        <p>{(preview.excluded_devices[reason] ?? []).map(id => <><a key={id} href={href(to`/devices/${id}`)}>{id}</a> </>)}</p>
                    </details>
                ))}
            </section>
            <p class="muted small">Plan <code>{preview.plan_hash.slice(0, 12)}…</code>. {preview.expected_duration.assumes.length > 0 && `Assumes that ${preview.expected_duration.assumes.join("; ")}.`}</p>
        </div>
    );
}
