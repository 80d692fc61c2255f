// What the tests of pages share: free ports, a site with one page, Chromium.
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
export const PATIENCE_MS = 30_000;

export const freePort = () => new Promise((resolve) => {
  const server = createTcpServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

// Serves NAME.html and NAME.js, bundled into a folder.
export const pages = async (folder, name) => {
  await build({ entryPoints: [join(HERE, `${name}.js`)], bundle: true, format: "esm", outfile: join(folder, `${name}.bundle.js`), logLevel: "error" });
  const files = {
    "/": [join(HERE, `${name}.html`), "text/html"],
    [`/${name}.bundle.js`]: [join(folder, `${name}.bundle.js`), "text/javascript"],
  };
  const server = createServer(async (request, response) => {
    const [file, type] = files[new URL(request.url, "http://x").pathname] ?? [];
    if (!file) return response.writeHead(404).end();
    response.writeHead(200, { "Content-Type": type }).end(await readFile(file));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
};

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"],
});
