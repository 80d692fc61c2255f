// A page in headless Chromium shows what a sensor publishes by MQTT over TCP, and asks a NATS service. $SERVER is the server's binary; the first
// argument, if there is one, is where a picture of the page goes.
import { PATIENCE_MS, freePort, launch, pages } from "./shared.js";
import { connect } from "@nats-io/transport-node";
import mqtt from "mqtt";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folder = await mkdtemp(join(tmpdir(), "sensor-"));
const [port, mqttPort, wsPort] = [await freePort(), await freePort(), await freePort()];
const config = join(folder, "server.conf");
await writeFile(config, `server_name: home
listen: "127.0.0.1:${port}"
jetstream { store_dir: "${folder}/store" }
mqtt { listen: "127.0.0.1:${mqttPort}" }
websocket { listen: "127.0.0.1:${wsPort}", no_tls: true }
`);
let server;
const start = () => { server = spawn(process.env.SERVER, ["-c", config], { stdio: "ignore" }); };
const stop = () => new Promise((resolve) => { server.once("exit", resolve); server.kill(); });

const site = await pages(folder, "sensor");
start();
const browser = await launch();
let code = 1;
try {
  const program = await connect({ servers: `127.0.0.1:${port}`, waitOnFirstConnect: true, reconnectTimeWait: 100, maxReconnectAttempts: -1 });
  program.subscribe("advice.temperature", { callback: (_, message) => message.respond(`${message.string()} is fine`) });
  await program.flush();
  const sensor = mqtt.connect(`mqtt://127.0.0.1:${mqttPort}`, { protocolVersion: 5, reconnectPeriod: 100 });
  const measured = (value) => sensor.publishAsync("sensors/kitchen/temperature", value,
    { qos: 1, retain: true, properties: { userProperties: { sensor: "DS18B20 behind the stove" } } });
  await measured("20.0");

  const page = await browser.newPage({ viewport: { width: 760, height: 520 } });
  page.setDefaultTimeout(PATIENCE_MS);
  const shown = (text) => page.getByText(text, { exact: true }).waitFor();
  await page.goto(`${site.url}/?server=ws://127.0.0.1:${wsPort}/mqtt`);
  await shown("connected");
  await shown("20.0 °C");
  await shown("DS18B20 behind the stove");
  console.log("ok shows the retained value");

  for (let at = 1; at <= 50; at++) await measured((20 + 2 * Math.sin(at / 6) + at / 25).toFixed(1));
  await measured("22.5");
  await shown("22.5 °C");
  console.log("ok shows values as they come");

  await page.click("#ask");
  await shown("22.5 °C is fine");
  console.log("ok asks a NATS service");
  if (process.argv[2]) await page.screenshot({ path: process.argv[2] });

  await stop();
  await shown("reconnecting");
  start();
  await shown("connected");
  await measured("19.5");
  await shown("19.5 °C");
  console.log("ok goes on after a restart");
  await sensor.endAsync();
  await program.close();
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
