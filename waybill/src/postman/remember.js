// What later requests need in their paths.
if (pm.response.code < 300 && (pm.response.headers.get("Content-Type") || "").startsWith("application/json")) {
  const reply = pm.response.json();
  for (const name of NAMES) {
    if (typeof reply[name] === "string") pm.collectionVariables.set(name, reply[name]);
  }
}
