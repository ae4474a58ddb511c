/** Devices are put into a static group, or taken out of it. */
import { useState } from "preact/hooks";
import type { Group } from "../api/types.ts";
import { Select, Text } from "../parts/field.tsx";
import { to } from "../router/location.ts";
import { several } from "../time/format.ts";
import { FormDialog } from "./form.tsx";
import { listOf } from "./rules.ts";

export function GroupMembers({ group, onClose, onDone }: { group: Group; onClose: () => void; onDone: () => void }) {
    const [what, setWhat] = useState<string>("add");
    const [text, setText] = useState("");
    const [refused, setRefused] = useState<string[] | null>(null);
    const ids = listOf(text);
    const method = what === "add" ? ("POST" as const) : ("DELETE" as const);
    const answered = (items: unknown): void => {
        const failed = (Array.isArray(items) ? items : []).filter((item: { status?: number }) => (item.status ?? 200) >= 400).map((item: { id?: string }) => String(item.id));
        if (failed.length === 0) onDone();
        else setRefused(failed);
    };
    return (
        <FormDialog title={`Members of ${group.name ?? group.group_id}`} label={what === "add" ? `Add ${several(ids.length, "device")}` : `Take out ${several(ids.length, "device")}`}
            isReady={ids.length > 0} onClose={onClose} onDone={sent => answered(sent.items)}
            command={{ method, path: to`/groups/${group.group_id}/members`, body: { device_ids: ids } }}>
            {error => (
                <>
                    <p>It has {several(group.member_count ?? 0, "device")}.</p>
                    <Select label="What" value={what} onChange={setWhat} options={[{ value: "add", label: "add devices" }, { value: "remove", label: "take devices out" }]} />
                    <Text label="Ids of devices" rows={6} value={text} onInput={setText} error={error("device_ids")} hint="Separated by commas, spaces or lines; at most 10 000." />
                    {refused && <p class="error" role="alert">The others are done; these aren't: {refused.slice(0, 20).join(", ")}{refused.length > 20 ? " …" : ""}</p>}
                </>
            )}
        </FormDialog>
    );
}
