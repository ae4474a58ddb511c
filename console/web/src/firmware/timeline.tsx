/** What happened to a firmware. */
import { api, body } from "../api/client.ts";
import { Timeline as Shared } from "../parts/timeline.tsx";

export function Timeline({ id }: { id: string }) {
    return <Shared kind="firmware" id={id} read={(query, signal) => body(api.GET("/firmware/{firmware_id}/history", { signal, params: { path: { firmware_id: id }, query } }))} />;
}
