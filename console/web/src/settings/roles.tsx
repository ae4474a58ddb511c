/** Roles to choose from: those that the person has. */
import { may } from "../session/session.ts";

export const ROLES = ["viewer", "operator", "approver", "admin", "auditor"] as const;

export function Roles({ chosen, onChange }: { chosen: readonly string[]; onChange: (roles: string[]) => void }) {
    return (
        <fieldset class="choices">
            <legend>Roles</legend>
            {ROLES.filter(role => may(role)).map(role => (
                <label key={role} class="buttons">
                    <input type="checkbox" checked={chosen.includes(role)}
                        onChange={event => onChange(event.currentTarget.checked ? [...chosen, role] : chosen.filter(one => one !== role))} />
                    {role}
                </label>
            ))}
        </fieldset>
    );
}
