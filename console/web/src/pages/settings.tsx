/** Settings of the tenant. Everybody sees what their role may read; the service refuses the rest and says who may. */
import { Page } from "../layout/page.tsx";
import { openTab, Tabs } from "../parts/tabs.tsx";
import { may } from "../session/session.ts";
import { ApiKeys } from "../settings/api_keys.tsx";
import { ChirpStack } from "../settings/chirpstack.tsx";
import { Groups } from "../settings/groups.tsx";
import { Members } from "../settings/members.tsx";
import { Only } from "../settings/only.tsx";
import { RegistrationTokens } from "../settings/registration_tokens.tsx";
import { Sessions } from "../settings/sessions.tsx";
import { Tenant } from "../settings/tenant.tsx";
import { Tenants } from "../settings/tenants.tsx";
import { TrustedKeys } from "../settings/trusted_keys.tsx";

const TABS = ["Tenant", "Groups", "Members", "API keys", "Registration", "Trusted keys", "ChirpStack", "Sessions"];

const ADMINS = "Admins of the tenant";

export function Settings(_: { params: Record<string, string> }) {
    const tabs = may("platform_admin") ? [...TABS, "Tenants"] : TABS;
    const shown = openTab(tabs);
    return (
        <Page title="Settings" tabTitle={`${shown} · Settings`}>
            <Tabs tabs={tabs} label="Settings" />
            {shown === "Tenant" && <Tenant />}
            {shown === "Groups" && <Groups />}
            {shown === "Members" && <Only role="admin" who={ADMINS}><Members /></Only>}
            {shown === "API keys" && <Only role="admin" who={ADMINS}><ApiKeys /></Only>}
            {shown === "Registration" && <Only role="admin" who={ADMINS}><RegistrationTokens /></Only>}
            {shown === "Trusted keys" && <TrustedKeys />}
            {shown === "ChirpStack" && <Only role="admin" who={ADMINS}><ChirpStack /></Only>}
            {shown === "Sessions" && <Sessions />}
            {shown === "Tenants" && <Tenants />}
        </Page>
    );
}
