// Pull consumers by @nats-io/jetstream: next, fetch, consume, all acknowledgements, pause, priorities, ordered. Prints what it saw; argument: the server's URL.
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { all, run, say, sayError, taken, until } from "./said.js";

const seen = (message) => message && [message.subject, message.string(), message.seq, message.info.deliverySequence, message.info.deliveryCount, message.info.pending];

async function floors(jsm, name) {
  const { delivered, ack_floor, num_ack_pending, num_redelivered, num_pending, num_waiting } = await jsm.consumers.info("TASKS", name);
  return { delivered, ack_floor, num_ack_pending, num_redelivered, num_pending, num_waiting };
}

async function acknowledgements(js, jsm) {
  say("a consumer", await jsm.consumers.add("TASKS", { durable_name: "worker", ack_policy: AckPolicy.Explicit, ack_wait: nanos(30_000) }));
  const consumer = await js.consumers.get("TASKS", "worker");
  const first = await consumer.next();
  say("next", seen(first));
  say("acknowledged twice", [await first.ackAck(), await first.ackAck()]);
  const fetched = await all(await consumer.fetch({ max_messages: 10, expires: 1000 }));
  say("fetched", fetched.map(seen));
  fetched[0].nak();
  fetched[1].nak(5000);
  fetched[2].term("no good");
  fetched[3].working();
  for (const message of fetched.slice(4)) await message.ackAck();
  say("again", seen(await consumer.next()));
  await until(() => floors(jsm, "worker"), ({ num_ack_pending }) => num_ack_pending === 3, "the end of one");
  say("floors", await floors(jsm, "worker"));
  const messages = await consumer.consume({ max_messages: 20 });
  say("consumed", (await taken(messages, 89)).length);
  await messages.close();
  say("nothing more", await consumer.next({ expires: 1000 }));
}

async function ordered(js, jsm) {
  const consumer = await js.consumers.get("TASKS", { filter_subjects: ["tasks.1", "tasks.2"] });
  const messages = await consumer.consume();
  say("ordered", (await taken(messages, 40)).map(({ seq }) => seq));
  await messages.close();
  const from = await js.consumers.get("TASKS", { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: 90 });
  say("from a sequence", (await all(await from.fetch({ max_messages: 5 }))).map(seen));
  const last = await js.consumers.get("TASKS", { deliver_policy: DeliverPolicy.LastPerSubject });
  say("last of each", (await all(await last.fetch({ max_messages: 5 }))).map(seen));
}

async function administration(js, jsm) {
  say("paused", (await jsm.consumers.pause("TASKS", "worker", new Date("2099-01-01T00:00:00Z"))).paused);
  say("resumed", (await jsm.consumers.resume("TASKS", "worker")).paused);
  const { config, num_pending } = await jsm.consumers.update("TASKS", "worker", { filter_subjects: ["tasks.1"], max_ack_pending: 5, description: "one subject" });
  say("updated", { config, num_pending });
  const reset = await jsm.consumers.reset("TASKS", "worker", 50);
  say("reset", [reset.reset_seq, seen(await (await js.consumers.get("TASKS", "worker")).next())]);
  await sayError("none", js.consumers.get("TASKS", "none"));
  await sayError("bad filter", jsm.consumers.add("TASKS", { durable_name: "bad", filter_subjects: ["tasks.1", "tasks.*"] }));
  await sayError("pedantic", jsm.consumers.add("TASKS", { durable_name: "pedantic", backoff: [nanos(1000)], max_deliver: 3, ack_wait: nanos(5000) }, { pedantic: true }));
  say("list", (await all(jsm.consumers.list("TASKS"))).map(({ config }) => config.durable_name ?? "an ephemeral").sort());
}

async function priorities(js, jsm) {
  await jsm.consumers.add("TASKS", { durable_name: "overflow", ack_policy: AckPolicy.Explicit, priority_policy: "overflow", priority_groups: ["g"] });
  const overflow = await js.consumers.get("TASKS", "overflow");
  say("overflow", (await all(await overflow.fetch({ max_messages: 2, expires: 1000, group: "g", min_pending: 5 }))).map(seen));
  say("not enough", (await all(await overflow.fetch({ max_messages: 2, expires: 1000, group: "g", min_pending: 500 }))).map(seen));
  await jsm.consumers.add("TASKS", { durable_name: "first", ack_policy: AckPolicy.Explicit, priority_policy: "prioritized", priority_groups: ["g"] });
  const first = await js.consumers.get("TASKS", "first");
  say("prioritized", (await all(await first.fetch({ max_messages: 2, expires: 1000, group: "g", priority: 3 }))).map(seen));
}

run(async (nc) => {
  const jsm = await jetstreamManager(nc);
  const js = jetstream(nc);
  await jsm.streams.add({ name: "TASKS", subjects: ["tasks.*"] });
  for (let n = 0; n < 100; n++) await js.publish(`tasks.${n % 5}`, `${n}`);
  await acknowledgements(js, jsm);
  await ordered(js, jsm);
  await administration(js, jsm);
  await priorities(js, jsm);
  // A consumer that is deleted while somebody consumes.
  await jsm.consumers.add("TASKS", { durable_name: "gone", ack_policy: AckPolicy.None, deliver_policy: DeliverPolicy.New });
  const messages = await (await js.consumers.get("TASKS", "gone")).consume({ expires: 5000, callback: () => {} });
  await until(() => jsm.consumers.info("TASKS", "gone"), ({ num_waiting }) => num_waiting === 1, "the request");
  const statuses = messages.status();
  await jsm.consumers.delete("TASKS", "gone");
  for await (const status of statuses) {
    if (!["debug", "next"].includes(status.type)) {
      say("deleted meanwhile", status);
      break;
    }
  }
  messages.stop();
});
