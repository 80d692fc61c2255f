// A page in headless Chromium, with the official JavaScript client: it publishes, requests, drains, and reconnects after a restart.
// $SERVER is the server's binary; the first argument, if there is one, is where a picture of the page goes.
import { PATIENCE_MS, freePort, launch, pages } from "./shared.js";
import { connect } from "@nats-io/transport-node";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

// Servers, one after the other, on the same ports.
const folder = await mkdtemp(join(tmpdir(), "browser-"));
const [port, wsPort] = [await freePort(), await freePort()];
const config = join(folder, "server.conf");
await writeFile(config, `listen: "127.0.0.1:${port}"\nwebsocket { listen: "127.0.0.1:${wsPort}", no_tls: true }\n`);
let server;
const start = () => { server = spawn(process.env.SERVER, ["-c", config], { stdio: "ignore" }); };
const stop = () => new Promise((resolve) => { server.once("exit", resolve); server.kill(); });

const site = await pages(folder, "page");
start();
const browser = await launch();
let code = 1;
try {
  const other = await connect({ servers: `127.0.0.1:${port}`, waitOnFirstConnect: true, reconnectTimeWait: 100, maxReconnectAttempts: -1 });
  const page = await browser.newPage({ viewport: { width: 760, height: 460 } });
  page.setDefaultTimeout(PATIENCE_MS);
  const state = (wanted) => page.waitForFunction((wanted) => document.getElementById("state").textContent === wanted, wanted);
  const shown = (text) => page.getByText(text, { exact: true }).waitFor();

  await page.goto(`${site.url}/?server=ws://127.0.0.1:${wsPort}`);
  await state("connected");
  console.log("ok connects");

  const heard = other.subscribe("chat.page", { max: 1 });
  await other.flush();
  await page.fill("#text", "hello from a page");
  await page.click("#say button");
  for await (const message of heard) {
    if (message.string() !== "hello from a page") throw new Error(message.string());
  }
  await shown("page: hello from a page");
  console.log("ok publishes, and gets its own");

  // The answer to a request says that the page's subscription is there.
  other.subscribe("time", { callback: (_, message) => message.respond("high noon") });
  await other.flush();
  await page.click("#ask");
  await shown("high noon");
  other.publish("chat.other", "hello from a program");
  await shown("other: hello from a program");
  console.log("ok requests and receives");

  if (process.argv[2]) await page.screenshot({ path: process.argv[2] });

  await stop();
  await state("reconnecting");
  start();
  await state("connected");
  await page.fill("#text", "back again");
  await page.click("#say button");
  await shown("page: back again");
  console.log("ok reconnects after a restart, with its subscriptions");

  await page.click("#leave");
  await state("closed");
  console.log("ok drains");
  await other.close();
  code = 0;
} catch (error) {
  console.log(`FAILED ${error} ${error.stack}`);
} finally {
  await browser.close();
  site.close();
  server.kill();
  await rm(folder, { recursive: true, force: true });
}
process.exit(code);
