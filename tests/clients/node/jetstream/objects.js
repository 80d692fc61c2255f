// Object stores by @nats-io/obj. Prints what it saw; argument: the server's URL.
import { jetstream } from "@nats-io/jetstream";
import { Objm } from "@nats-io/obj";
import { headers } from "@nats-io/transport-node";
import { all, run, say, sayError, taken } from "./said.js";

const large = Uint8Array.from({ length: 500_000 }, (_, n) => (n * n) % 251);
const told = (info) => info && [info.name, info.description, info.size, info.chunks, info.digest, info.deleted, info.revision];

run(async (nc) => {
  const objm = new Objm(jetstream(nc));
  const store = await objm.create("files", { description: "of the test" });
  const status = await store.status();
  say("status", { bucket: status.bucket, sealed: status.sealed, config: status.streamInfo.config });
  const h = headers();
  h.set("Colour", "blue");
  say("put", told(await store.putBlob({ name: "large", description: "a large one", headers: h }, large)));
  say("put in pieces", told(await store.putBlob({ name: "pieces", options: { max_chunk_size: 1000 } }, large.slice(0, 10_000))));
  say("put, empty", told(await store.putBlob({ name: "empty" }, new Uint8Array())));
  for (const name of ["large", "pieces", "empty"]) {
    const body = await store.getBlob(name);
    say(`got ${name}`, [body.length, body.every((byte, n) => byte === large[n])]);
  }
  say("got none", await store.getBlob("none"));
  say("put again", told(await store.putBlob({ name: "pieces" }, large.slice(0, 10))));
  await sayError("put with a wrong revision", store.putBlob({ name: "pieces" }, large.slice(0, 10), { previousRevision: 1 }));
  say("list", (await store.list()).map(told).sort());
  say("link", told(await store.link("link", await store.info("pieces"))));
  say("by the link", (await store.getBlob("link")).length);
  const other = await objm.create("others");
  say("link to a store", told(await store.linkStore("store", other)));
  say("updated", (await store.update("pieces", { name: "renamed", description: "renamed" })).seq);
  say("renamed", told(await store.info("renamed")));
  const watcher = await store.watch({ includeHistory: true });
  say("watched", (await taken(watcher, 5)).map(told).sort());
  const { purged } = await store.delete("large");
  say("deleted", purged);
  say("info of what is deleted", told(await store.info("large")));
  say("stores", (await all(objm.list())).map(({ bucket }) => bucket).sort());
  say("sealed", (await store.seal()).sealed);
  await sayError("put to a sealed one", store.putBlob({ name: "more" }, large));
  const { first_seq, last_seq, messages, num_deleted } = (await store.status()).streamInfo.state;
  say("state", { first_seq, last_seq, messages, num_deleted });
  say("destroyed", await store.destroy());
});
