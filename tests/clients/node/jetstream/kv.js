// Key-value buckets by @nats-io/kv. Prints what it saw; argument: the server's URL.
import { jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { all, run, say, sayError, taken, until } from "./said.js";

const entry = (found) => found && [found.key, found.string(), found.revision, found.delta, found.operation];

async function keysAndValues(kvm) {
  const kv = await kvm.create("settings", { history: 3, description: "of the test" });
  const { bucket, values, history, ttl, streamInfo } = await kv.status();
  say("status", { bucket, values, history, ttl, config: streamInfo.config });
  say("put", await kv.put("colour", "red"));
  say("got", entry(await kv.get("colour")));
  say("created", await kv.create("size", "big"));
  await sayError("created again", kv.create("size", "small"));
  say("updated", await kv.update("size", "small", 2));
  await sayError("updated with a wrong revision", kv.update("size", "huge", 2));
  say("got a revision", entry(await kv.get("size", { revision: 2 })));
  say("got none", await kv.get("weight"));
  for (const value of ["green", "blue", "white"]) await kv.put("colour", value);
  say("history", (await all(await kv.history({ key: "colour" }))).map(entry));
  say("keys", (await all(await kv.keys())).sort());
  await kv.delete("size");
  say("got what is deleted", entry(await kv.get("size")));
  say("keys after", await all(await kv.keys()));
  say("created after", await kv.create("size", "back"));
  await kv.purge("colour");
  say("history after", (await all(await kv.history())).map(entry));
  await sayError("deleted with a wrong revision", kv.delete("size", { previousSeq: 1 }));
  say("buckets", (await all(kvm.list())).map(({ bucket }) => bucket));
}

async function watchers(kvm) {
  const kv = await kvm.create("watched", { history: 5 });
  for (let n = 0; n < 6; n++) await kv.put(`key.${n % 3}`, `${n}`);
  await kv.delete("key.1");
  const watcher = await kv.watch();
  say("last values", (await taken(watcher, 3)).map(entry));
  const updates = await kv.watch({ include: "updates", key: "key.*" });
  await kv.put("key.2", "new");
  say("only updates", (await taken(updates, 1)).map(entry));
  const whole = await kv.watch({ include: "history", key: ["key.0", "key.2"] });
  say("all of two keys", (await taken(whole, 5)).map(entry));
  const some = await kv.watch({ ignoreDeletes: true, resumeFromRevision: 4 });
  say("from a revision", (await taken(some, 4)).map(entry));
  say("keys by filter", (await all(await kv.keys("key.2"))));
}

async function lifetimes(kvm) {
  const kv = await kvm.create("short", { markerTTL: 2000 });
  say("for two seconds", await kv.create("brief", "x", "2s"));
  say("its end", entry(await until(() => kv.get("brief"), (found) => found?.string() !== "x", "its end")));
}

run(async (nc) => {
  const kvm = new Kvm(jetstream(nc));
  await keysAndValues(kvm);
  await watchers(kvm);
  await lifetimes(kvm);
  const kv = await kvm.create("compressed", { compression: true, ttl: 60_000, maxValueSize: 10 });
  say("compressed", (await kv.status()).streamInfo.config);
  await sayError("too large", kv.put("a", "x".repeat(20)));
  say("destroyed", await kv.destroy());
});
