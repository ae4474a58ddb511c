// Builds the console into ../dist: one script, one style sheet and one icon with hashes in their names, each with a .gz beside it, and the
// page that names them. With --watch it builds again at each change.
import { context } from "esbuild";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { gzipSync } from "node:zlib";

const DIST = "../dist";
const isWatching = process.argv.includes("--watch");

const page = ({ script, style, icon }) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Waybill</title>
<link rel="icon" href="/console/assets/${icon}" type="image/svg+xml">
<link rel="stylesheet" href="/console/assets/${style}">
<script type="module" src="/console/assets/${script}"></script>
</head>
<body><div id="app"></div><noscript>The console needs JavaScript. The API does not: see /api/docs/.</noscript></body>
</html>
`;

async function removeOld(current) {
    for (const name of await readdir(`${DIST}/assets`)) {
        if (!current.includes(name.replace(/\.gz$/, ""))) await rm(`${DIST}/assets/${name}`);
    }
}

/** Writes the page after the files that it names, so that a reader never finds a page without its files. */
async function finish(result) {
    if (result.errors.length > 0) return;
    const names = Object.keys(result.metafile.outputs).map(name => basename(name));
    const one = ending => names.find(name => name.endsWith(ending));
    const files = { script: one(".js"), style: one(".css"), icon: one(".svg") };
    for (const name of Object.values(files)) {
        const bytes = await readFile(`${DIST}/assets/${name}`);
        await writeFile(`${DIST}/assets/${name}.gz`, gzipSync(bytes, { level: 9 }));
    }
    const html = page(files);
    await writeFile(`${DIST}/index.html.gz`, gzipSync(html, { level: 9 }));
    await writeFile(`${DIST}/index.html`, html);
    await removeOld(Object.values(files));
}

await mkdir(`${DIST}/assets`, { recursive: true });
const built = await context({
    entryPoints: { console: "src/main.tsx", icon: "src/icon.svg" },
    outdir: `${DIST}/assets`,
    entryNames: "[name]-[hash]",
    bundle: true,
    format: "esm",
    target: ["es2022"],
    jsx: "automatic",
    jsxImportSource: "preact",
    loader: { ".svg": "copy" },
    minify: !isWatching,
    legalComments: "none",
    metafile: true,
    logLevel: "warning",
    plugins: [{ name: "page", setup: build => build.onEnd(finish) }],
});
if (isWatching) {
    await built.watch();
    console.error("building at each change; Ctrl-C ends it");
} else {
    await built.rebuild();
    await built.dispose();
}
