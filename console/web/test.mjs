// Runs the tests of the pure parts with Node's own runner. Node 20 knows no TypeScript, so esbuild removes the types first.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const names = (await readdir("src", { recursive: true })).filter(name => name.endsWith(".test.ts"));
const out = await mkdtemp(join(tmpdir(), "console-test-"));
await build({ entryPoints: names.map(name => join("src", name)), outdir: out, bundle: true, platform: "node", format: "esm", outExtension: { ".js": ".mjs" } });
const built = (await readdir(out, { recursive: true })).filter(name => name.endsWith(".mjs")).map(name => join(out, name));
const { status } = spawnSync(process.execPath, ["--test", ...built], { stdio: "inherit" });
await rm(out, { recursive: true });
process.exit(status ?? 1);
