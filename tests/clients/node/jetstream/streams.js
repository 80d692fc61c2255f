// Streams by @nats-io/jetstream: create, inform, update, list, read, publish, delete, purge. Prints what it saw; argument: the server's URL.
import { AckPolicy, DiscardPolicy, jetstream, jetstreamManager, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import { headers } from "@nats-io/transport-node";
import { all, run, said, say, sayError } from "./said.js";

async function configurations(jsm) {
  say("created", await jsm.streams.add({ name: "ORDERS", subjects: ["orders.>"] }));
  await sayError("another with its name", jsm.streams.add({ name: "ORDERS", subjects: ["others.>"] }));
  await sayError("subjects overlap", jsm.streams.add({ name: "OTHER", subjects: ["orders.new"] }));
  say("many limits", await jsm.streams.add({
    name: "WHOLE", subjects: ["whole.*"], description: "all limits", retention: RetentionPolicy.Limits, max_consumers: 5, max_msgs: 100, max_bytes: 100_000,
    discard: DiscardPolicy.New, max_age: 3_600_000_000_000, max_msgs_per_subject: 10, max_msg_size: 1000, storage: StorageType.Memory, duplicate_window: 60_000_000_000,
    deny_delete: true, allow_direct: true, metadata: { owner: "test" }, consumer_limits: { max_ack_pending: 10 },
  }));
  say("updated", await jsm.streams.update("WHOLE", { description: "updated", max_msgs: 200 }));
  await sayError("deletion denied", jsm.streams.update("WHOLE", { deny_delete: false }));
  await sayError("info of none", jsm.streams.info("NONE"));
  await sayError("deletion of none", jsm.streams.delete("NONE"));
  say("names", (await all(jsm.streams.names())).sort());
  say("names by subject", await all(jsm.streams.names("whole.*")));
  say("list", (await all(jsm.streams.list())).map(({ config }) => config.name).sort());
  say("found by subject", await jsm.streams.find("orders.1"));
}

async function publishing(js) {
  say("first", await js.publish("orders.a", "one"));
  say("with an id", await js.publish("orders.a", "two", { msgID: "two" }));
  say("again", await js.publish("orders.a", "two", { msgID: "two" }));
  await sayError("another stream", js.publish("orders.a", "x", { expect: { streamName: "WHOLE" } }));
  await sayError("another last sequence", js.publish("orders.a", "x", { expect: { lastSequence: 1 } }));
  await sayError("another last id", js.publish("orders.a", "x", { expect: { lastMsgID: "one" } }));
  await sayError("another last of the subject", js.publish("orders.a", "x", { expect: { lastSubjectSequence: 1 } }));
  await sayError("another last of a filter", js.publish("orders.b", "x", { expect: { lastSubjectSequence: 1, lastSubjectSequenceSubject: "orders.*" } }));
  say("the last of all", await js.publish("orders.a", "x", { expect: { lastSequence: 2, lastMsgID: "two", lastSubjectSequence: 2, streamName: "ORDERS" } }));
  await sayError("no stream", js.publish("nowhere", "x"));
  const h = headers();
  h.append("Colour", "blue");
  h.append("Colour", "red");
  const acks = await Promise.all(Array.from({ length: 500 }, (_, n) => js.publish(`orders.${n % 5}`, `${n}`, { headers: h })));
  say("at once", acks.map(({ seq }) => seq).every((seq, n) => seq === n + 4));
}

async function reading(js, jsm) {
  const read = (message) => message && [message.subject, message.seq, message.string(), said(message.header)];
  say("by sequence", read(await jsm.streams.getMessage("ORDERS", { seq: 2 })));
  say("last by subject", read(await jsm.streams.getMessage("ORDERS", { last_by_subj: "orders.3" })));
  say("next by subject", read(await jsm.streams.getMessage("ORDERS", { seq: 100, next_by_subj: "orders.0" })));
  say("none", await jsm.streams.getMessage("ORDERS", { seq: 5000 }));
  say("deleted", await jsm.streams.deleteMessage("ORDERS", 100));
  say("without erasing", await jsm.streams.deleteMessage("ORDERS", 102, false));
  await sayError("deleted again", jsm.streams.deleteMessage("ORDERS", 100));
  say("details", (await jsm.streams.info("ORDERS", { deleted_details: true, subjects_filter: "orders.*" })).state);
  say("purged by subject", await jsm.streams.purge("ORDERS", { filter: "orders.0" }));
  say("purged but", await jsm.streams.purge("ORDERS", { filter: "orders.1", keep: 5 }));
  say("purged up to", await jsm.streams.purge("ORDERS", { filter: "orders.2", seq: 300 }));
  say("after", (await jsm.streams.info("ORDERS", { subjects_filter: ">" })).state);
  for (let n = 0; n < 20; n++) await js.publish(`whole.${n % 4}`, `${n}`);
  const direct = (message) => [message.subject, message.seq, message.string()];
  say("direct", direct(await jsm.direct.getMessage("WHOLE", { seq: 5 })));
  say("direct last", direct(await jsm.direct.getMessage("WHOLE", { last_by_subj: "whole.2" })));
  say("direct next", direct(await jsm.direct.getMessage("WHOLE", { seq: 6, next_by_subj: "whole.2" })));
  say("direct none", await jsm.direct.getMessage("WHOLE", { seq: 100 }));
  say("direct batch", (await all(await jsm.direct.getBatch("WHOLE", { seq: 3, batch: 4 }))).map(direct));
  say("direct batch of a subject", (await all(await jsm.direct.getBatch("WHOLE", { seq: 1, batch: 3, next_by_subj: "whole.1" }))).map(direct));
  say("last for each", (await all(await jsm.direct.getLastMessagesFor("WHOLE", { multi_last: ["whole.1", "whole.3"] }))).map(direct));
  say("last for each up to", (await all(await jsm.direct.getLastMessagesFor("WHOLE", { multi_last: ["whole.*"], up_to_seq: 8 }))).map(direct));
}

run(async (nc) => {
  const jsm = await jetstreamManager(nc);
  const js = jetstream(nc);
  await configurations(jsm);
  await publishing(js);
  await reading(js, jsm);
  await jsm.consumers.add("WHOLE", { durable_name: "counted", ack_policy: AckPolicy.Explicit });
  const { streams, consumers, limits, domain } = await jsm.getAccountInfo();
  say("account", { streams, consumers, limits, domain });
  say("deleted", await jsm.streams.delete("ORDERS"));
});
