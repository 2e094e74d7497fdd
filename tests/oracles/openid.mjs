// An OpenID Connect provider for one client, with oidc-provider: anybody gets in, and is in the groups that their name says.
//
// node openid.mjs LIBRARY PORT CERTIFICATE KEY REDIRECT
// A name such as "alice.operators.everyone" is alice, in two groups.
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [library, port, certificate, key, redirect] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(join(library, "lib/index.js")).href);

const provider = new Provider(`https://localhost:${port}`, {
  clients: [
    {
      client_id: "registrar",
      client_secret: "of-the-tests-alone:%+&=/",
      redirect_uris: [redirect],
      grant_types: ["authorization_code"],
      response_types: ["code"],
    },
  ],
  scopes: ["openid", "profile", "groups"],
  claims: { openid: ["sub"], profile: ["preferred_username"], groups: ["groups"] },
  pkce: { required: () => true },
  cookies: { keys: ["of the tests alone"] },
  async findAccount(context, account) {
    const [name, ...groups] = account.split(".");
    return {
      accountId: account,
      claims: async () => ({ sub: account, preferred_username: name, groups }),
    };
  },
});

createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, provider.callback()).listen(
  Number(port),
  "127.0.0.1",
);
