// Lifetimes, batches, fast ingest, schedules and mirrors by @nats-io/jetstream. Prints what it saw; argument: the server's URL.
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { all, run, said, say, sayError, until } from "./said.js";

const read = (message) => [message.subject, message.seq, message.string(), said(message.header)];

run(async (nc) => {
  const jsm = await jetstreamManager(nc);
  const js = jetstream(nc);
  await jsm.streams.add({ name: "BATCH", subjects: ["batch.*"], allow_atomic: true, allow_msg_ttl: true });
  const batch = await js.startBatch("batch.a", "one");
  batch.add("batch.b", "two");
  await batch.add("batch.c", "three", { ack: true });
  say("nothing of an open batch", (await jsm.streams.info("BATCH")).state.messages);
  const { count, seq } = await batch.commit("batch.d", "four");
  say("committed", { count, seq });
  say("a message of it", (await jsm.streams.getMessage("BATCH", { seq: 3 })).string());
  await jsm.streams.add({ name: "PLAIN", subjects: ["plain.*"] });
  await sayError("where there are no batches", js.startBatch("plain.a", "one"));
  say("for two seconds", await js.publish("batch.short", "x", { ttl: "2s" }));
  say("its end", await until(() => jsm.streams.getMessage("BATCH", { last_by_subj: "batch.short" }), (found) => found === null, "its end"));
  await jsm.streams.add({ name: "PLAN", subjects: ["plan.*", "done.*"], allow_msg_schedules: true, allow_direct: true });
  say("planned", await js.publish("plan.one", "work", { schedule: { specification: { at: new Date(0) }, target: "done.one" } }));
  say("done", read(await until(() => jsm.streams.getMessage("PLAN", { last_by_subj: "done.one" }), Boolean, "the message")));
  await jsm.streams.add({ name: "MIRROR", mirror: { name: "BATCH" } });
  say("mirrored", (await until(() => jsm.streams.info("MIRROR"), ({ state }) => state.messages === 4, "the mirror")).state);
  await jsm.streams.add({ name: "SOURCES", sources: [{ name: "BATCH", filter_subject: "batch.a" }, { name: "PLAN", filter_subject: "done.*" }] });
  const { state, sources } = await until(() => jsm.streams.info("SOURCES"), ({ state }) => state.messages === 2, "the sources");
  say("sources", [state, sources.map(({ name }) => name).sort()]);
  say("names", (await all(jsm.streams.names())).sort());
});
