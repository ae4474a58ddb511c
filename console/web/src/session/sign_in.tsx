/** What somebody sees who has not signed in. */
import { useState } from "preact/hooks";
import { asProblem } from "../api/client.ts";
import { sentence } from "../api/problem.ts";
import { Field, Select } from "../parts/field.tsx";
import { Loading } from "../parts/states.tsx";
import { useTitle } from "../layout/title.ts";
import { signInForDevelopment, signInWith, ways, type Ways } from "./session.ts";

/** Roles in the order of what they allow. */
const ROLES: Record<string, string[]> = {
    admin: ["admin"],
    approver: ["approver"],
    operator: ["operator"],
    viewer: ["viewer"],
    auditor: ["auditor"],
    "platform admin": ["platform_admin", "admin"],
};

export function SignIn() {
    useTitle("Sign in");
    return (
        <main class="sign-in" id="main">
            <h1 tabIndex={-1}>Waybill</h1>
            {ways.value ? <Offered ways={ways.value} /> : <Loading />}
        </main>
    );
}

function Offered({ ways }: { ways: Ways }) {
    const back = window.location.pathname + window.location.search;
    return (
        <>
            {ways.openid && (
                <a class="button primary" href={`/api/v1/auth/sign-in?return_to=${encodeURIComponent(back)}`} target="_self">
                    Sign in
                </a>
            )}
            {ways.development && <AsDeveloper />}
            {ways.session && <WithKey />}
            {!ways.session && (
                <p>
                    Nobody can sign in: the service has no address with HTTPS. Its administrator sets <code>WAYBILL_PUBLIC_URL</code>.
                </p>
            )}
        </>
    );
}

/** Runs something that may fail, and says why it did. */
function useAttempt(): [problem: string | null, isBusy: boolean, attempt: (work: () => Promise<void>) => void] {
    const [problem, setProblem] = useState<string | null>(null);
    const [isBusy, setBusy] = useState(false);
    const attempt = (work: () => Promise<void>): void => {
        setBusy(true);
        setProblem(null);
        work()
            .catch(thrown => setProblem(sentence(asProblem(thrown))))
            .finally(() => setBusy(false));
    };
    return [problem, isBusy, attempt];
}

function AsDeveloper() {
    const [user, setUser] = useState("developer");
    const [tenant, setTenant] = useState("default");
    const [role, setRole] = useState("admin");
    const [problem, isBusy, attempt] = useAttempt();
    const submit = (event: Event): void => {
        event.preventDefault();
        attempt(() => signInForDevelopment(user, tenant, ROLES[role] ?? ["viewer"]));
    };
    return (
        <form class="card" onSubmit={submit}>
            <h2>Development</h2>
            <p class="muted">This service runs in development mode: anybody may be anybody.</p>
            <Field label="Name" value={user} onInput={setUser} required />
            <Field label="Tenant" value={tenant} onInput={setTenant} required />
            <Select label="Role" value={role} options={Object.keys(ROLES)} onChange={setRole} />
            {problem && <p class="error" role="alert">{problem}</p>}
            <button class="primary" disabled={isBusy}>Sign in as {user || "…"}</button>
        </form>
    );
}

function WithKey() {
    const [key, setKey] = useState("");
    const [problem, isBusy, attempt] = useAttempt();
    const submit = (event: Event): void => {
        event.preventDefault();
        attempt(async () => {
            await signInWith(key.trim());
            setKey("");
        });
    };
    return (
        <form class="card" onSubmit={submit}>
            <h2>API key or token</h2>
            <Field label="Key" type="password" value={key} onInput={setKey} autocomplete="off" required
                hint="It begins the session and isn't kept." />
            {problem && <p class="error" role="alert">{problem}</p>}
            <button disabled={isBusy}>Sign in with the key</button>
        </form>
    );
}
