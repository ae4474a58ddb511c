/** The decisions of a campaign. */
import { api, body } from "../api/client.ts";
import { Timeline as Shared } from "../parts/timeline.tsx";

export function Timeline({ id }: { id: string }) {
    return <Shared kind="campaign" id={id} read={(query, signal) => body(api.GET("/campaigns/{campaign_id}/history", { signal, params: { path: { campaign_id: id }, query } }))} />;
}
