/** Changes what operators know of a device: its name, model, tags and so on. */
import { useState } from "preact/hooks";
import { Field, Text } from "../parts/field.tsx";
import { to } from "../router/location.ts";
import { Ask, type FormProps } from "./ask.tsx";
import { EDITABLE, fields, patchOf, tagLines } from "./patch.ts";

export function Edit({ device, onClose, onTaken }: FormProps) {
    // The form keeps the device that it began with, also when the device reports something meanwhile.
    const [before] = useState(device);
    const [edited, setEdited] = useState(fields(before));
    const [tags, setTags] = useState(tagLines(before.tags));
    const patch = patchOf(before, edited, tags);
    return (
        <Ask title={`Edit ${before.device_id}`} verb="Save" onClose={onClose} onTaken={reply => onTaken(reply.position)}
            request={() => (Object.keys(patch).length > 0 ? { method: "PATCH", path: to`/devices/${before.device_id}`, body: patch } : null)}>
            {errors => (
                <>
                    <div class="pair">
                        {EDITABLE.map(([name, label]) => (
                            <Field key={name} label={label} value={edited[name] ?? ""} error={errors[name]}
                                onInput={value => setEdited(before => ({ ...before, [name]: value }))} />
                        ))}
                    </div>
                    <Text label="Tags" value={tags} onInput={setTags} rows={4} hint="One a line: site: berlin" error={errors.tags} />
                </>
            )}
        </Ask>
    );
}
