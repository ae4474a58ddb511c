// A token for development, once. Elsewhere set `access_token`.
if (!pm.collectionVariables.get("access_token")) {
  const body = { user_id: "postman", tenant_id: pm.variables.get("tenant"), expires_in: 3600 };
  pm.sendRequest(
    {
      url: pm.variables.replaceIn("{{url}}/api/v1/auth/dev-token"),
      method: "POST",
      header: { "Content-Type": "application/json" },
      body: { mode: "raw", raw: JSON.stringify(body) },
    },
    (error, reply) => {
      if (error || reply.code !== 200) {
        throw new Error("no token: set the variable `access_token`, since this server gives none for development");
      }
      pm.collectionVariables.set("access_token", reply.json().token);
    },
  );
}
