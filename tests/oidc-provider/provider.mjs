// An OpenID provider for the system tests: oidc-provider with its own pages for sign-in and consent.
// node provider.mjs PORT REDIRECT_URI [userinfo: claims of scopes only there]
import { Provider } from "oidc-provider";

const [port, redirectUri, claimsIn] = process.argv.slice(2);

// Any account signs in. Its groups are in its id, after the first part: "7f3c-ops-leads".
const account = (id) => ({
  accountId: id,
  claims: () => ({ sub: id, groups: id.split("-").slice(1), name: "Erika Mustermann", email: "erika@example.com" }),
});

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: "waybill",
    client_secret: "a secret of the client: 1%",
    redirect_uris: [redirectUri],
  }],
  claims: { openid: ["sub"], groups: ["groups"], profile: ["name"], email: ["email"] },
  // Otherwise claims of scopes are in the ID token, too.
  conformIdTokenClaims: claimsIn === "userinfo",
  findAccount: (_context, id) => account(id),
  pkce: { required: () => true },
});
provider.listen(Number(port), "127.0.0.1");
