// @nats-io/transport-node under rolling upgrades: asks, answers, hands out tasks and takes them, until its standard input ends; then
// prints counts.
//
// worker.js NAME URL...
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";

const requesters = 4;
const timeout = 2000;

const [name, ...servers] = process.argv.slice(2);
const asked = { requests: 0, tasks: 0 };
const [lost, taken, answered] = [{}, {}, {}];
const count = (counts, key) => { counts[key] = (counts[key] ?? 0) + 1; };
let running = true;

const open = () => connect({ servers, user: "a", pass: "a", maxReconnectAttempts: -1, reconnectTimeWait: 50 });

async function ask(client, requester) {
  for (let number = 1; running; number++) {
    const body = `${name}.${requester}.${number}`;
    asked.requests++;
    try {
      await client.request("service", body, { timeout });
    } catch (error) {
      count(lost, error.name);
    }
    asked.tasks++;
    client.publish("tasks", body);
    await pause(5);
  }
}

const [asking, answering] = [await open(), await open()];
answering.subscribe("service", { queue: "services", callback: (_, message) => {
  count(answered, message.string());
  message.respond();
} });
answering.subscribe("tasks", { queue: "takers", callback: (_, message) => count(taken, message.string()) });
await answering.flush();
console.log("ready");
const loops = Array.from({ length: requesters }, (_, number) => ask(asking, number));
for await (const _ of process.stdin);
running = false;
await Promise.all(loops);
await asking.flush();
await pause(1000);
await answering.flush();
// What is long leaves a pipe piece by piece.
process.stdout.write(`${JSON.stringify({ asked, lost, answered, taken })}\n`, () => process.exit(0));
