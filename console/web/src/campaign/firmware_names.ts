/** Names of firmware for lists that have only ids. */
import { api, asProblem, body } from "../api/client.ts";
import { useResource } from "../api/resource.ts";

/** Most firmware of a list whose names are looked up. */
const NAMES_MAX = 50;

/** `name version` by id. Ids that aren't known are left out. */
export function useFirmwareNames(ids: readonly string[]): Record<string, string> {
    const wanted = [...new Set(ids)].sort().slice(0, NAMES_MAX);
    const names = useResource(wanted.length > 0 ? `names ${wanted.join(" ")}` : null, async signal => {
        const found = await Promise.all(wanted.map(id => nameOf(id, signal)));
        return Object.fromEntries(found.filter(entry => entry !== null));
    });
    return names.data ?? {};
}

async function nameOf(id: string, signal: AbortSignal): Promise<[string, string] | null> {
    try {
        const { name, version } = await body(api.GET("/firmware/{firmware_id}", { signal, params: { path: { firmware_id: id } } }));
        return [id, `${name} ${version}`];
    } catch (thrown) {
        if (asProblem(thrown).status === 404) return null;
        throw thrown;
    }
}
