// Push consumers by @nats-io/jetstream. Prints what it saw; argument: the server's URL.
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { run, say, sayError, taken, until } from "./said.js";

const seen = (message) => [message.subject, message.string(), message.seq, message.info.deliverySequence, message.info.pending];

run(async (nc) => {
  const jsm = await jetstreamManager(nc);
  const js = jetstream(nc);
  await jsm.streams.add({ name: "NEWS", subjects: ["news.*"] });
  for (let n = 0; n < 50; n++) await js.publish(`news.${n % 5}`, `${n}`);
  say("a consumer", await jsm.consumers.add("NEWS", {
    durable_name: "reader", deliver_subject: "to.reader", ack_policy: AckPolicy.Explicit, idle_heartbeat: nanos(1000), flow_control: true, filter_subject: "news.1",
  }));
  const messages = await (await js.consumers.getPushConsumer("NEWS", "reader")).consume();
  const found = await taken(messages, 10);
  say("pushed", found.map(seen));
  for (const message of found) await message.ackAck();
  const { ack_floor, num_pending, push_bound } = await jsm.consumers.info("NEWS", "reader");
  say("floors", { ack_floor, num_pending, push_bound });
  await messages.close();
  const info = await until(() => jsm.consumers.info("NEWS", "reader"), ({ push_bound }) => !push_bound, "nobody");
  say("nobody", info.push_bound ?? false);
  const ordered = await (await js.consumers.getPushConsumer("NEWS", { filter_subjects: "news.2" })).consume();
  say("ordered", (await taken(ordered, 10)).map(seen));
  await ordered.close();
  const last = await (await js.consumers.getPushConsumer("NEWS", { deliver_policy: DeliverPolicy.LastPerSubject, headers_only: true })).consume();
  say("only headers", (await taken(last, 5)).map((message) => [...seen(message), message.headers.get("Nats-Msg-Size")]));
  await last.close();
  // A group, by plain subscriptions.
  await jsm.consumers.add("NEWS", { durable_name: "group", deliver_subject: "to.group", deliver_group: "workers", ack_policy: AckPolicy.None });
  let count = 0;
  const members = [0, 1, 2].map(() => nc.subscribe("to.group", { queue: "workers", callback: () => count++ }));
  await until(() => count, (count) => count === 50, "all of a group");
  say("a group", count);
  members.forEach((member) => member.unsubscribe());
  // Nobody acknowledges, and no more than one may be pending.
  await jsm.consumers.add("NEWS", { durable_name: "slow", deliver_subject: "to.slow", ack_policy: AckPolicy.Explicit, max_ack_pending: 1, ack_wait: nanos(100) });
  const slow = await (await js.consumers.getPushConsumer("NEWS", "slow")).consume();
  const again = await taken(slow, 3);
  say("again", again.map((message) => [message.seq, message.info.deliveryCount]));
  await slow.close();
  await sayError("pushed to the stream", jsm.consumers.add("NEWS", { durable_name: "cycle", deliver_subject: "news.9" }));
  await sayError("heartbeat too short", jsm.consumers.add("NEWS", { durable_name: "fast", deliver_subject: "x", idle_heartbeat: 1 }));
});
