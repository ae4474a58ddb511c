/** A new group, or the change of one. */
import { useState } from "preact/hooks";
import type { Group } from "../api/types.ts";
import { Field, Select, Text } from "../parts/field.tsx";
import { to } from "../router/location.ts";
import { FormDialog } from "./form.tsx";
import { FIELDS, filterOf, textsOf } from "./group_filter.ts";

export function GroupForm({ group, onClose, onDone }: { group: Group | null; onClose: () => void; onDone: () => void }) {
    const [id, setId] = useState("");
    const [name, setName] = useState(group?.name ?? "");
    const [description, setDescription] = useState(group?.description ?? "");
    const [kind, setKind] = useState(group?.kind ?? "static");
    const [filter, setFilter] = useState(textsOf(group?.filter));
    const isDynamic = kind === "dynamic";
    const common = { name, ...(description || group?.description ? { description } : {}), ...(isDynamic ? { filter: filterOf(filter) } : {}) };
    const command = group
        ? { method: "PATCH" as const, path: to`/groups/${group.group_id}`, body: common }
        : { method: "POST" as const, path: "/groups", body: { ...common, kind, ...(id ? { group_id: id } : {}) } };
    return (
        <FormDialog title={group ? `Change ${group.name ?? group.group_id}` : "New group"} label={group ? "Change" : "Create"} isReady={name !== ""} command={command} onClose={onClose} onDone={onDone}>
            {error => (
                <>
                    <Field label="Name" value={name} onInput={setName} error={error("name")} />
                    {!group && <Field label="Id" value={id} onInput={setId} error={error("group_id")} hint="Letters, digits, _ and -. Empty: made by the service." />}
                    <Field label="Description" value={description} onInput={setDescription} error={error("description")} />
                    {!group && (
                        <Select label="Kind" value={kind} onChange={setKind} error={error("kind")}
                            options={[{ value: "static", label: "static: devices are put into it" }, { value: "dynamic", label: "dynamic: devices that fit a filter" }]} />
                    )}
                    {isDynamic && (
                        <>
                            <div class="pair top">
                                {FIELDS.map(([field, label, hint]) => (
                                    <Field key={field} label={label} value={filter[field]} hint={hint || undefined} error={error(`filter.${field}`)} onInput={text => setFilter({ ...filter, [field]: text })} />
                                ))}
                            </div>
                            <Text label="Tags" value={filter.tags} hint="One name=value a line; devices have all of them." error={error("filter.tags")} onInput={tags => setFilter({ ...filter, tags })} />
                        </>
                    )}
                </>
            )}
        </FormDialog>
    );
}
