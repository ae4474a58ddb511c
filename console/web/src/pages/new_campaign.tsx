/** New campaign. */
import { Page } from "../layout/page.tsx";

export function NewCampaign(_: { params: Record<string, string> }) {
    return (
        <Page title="New campaign">
            <p class="muted">Not there yet.</p>
        </Page>
    );
}
