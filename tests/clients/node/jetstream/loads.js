// More than a disk takes at once: whoever publishes waits, and nothing is refused. Argument: the server's URL.
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Objm } from "@nats-io/obj";
import { run, say } from "./said.js";

// Publishes of 128 KiB that are all under way at once: 64 MiB.
const COUNT = 512;
const BODY = new Uint8Array(128 * 1024).fill(7);

async function published(js, subject) {
  const outcomes = await Promise.allSettled(Array.from({ length: COUNT }, () => js.publish(subject, BODY, { timeout: 60_000 })));
  const refused = outcomes.filter((outcome) => outcome.status === "rejected").map((outcome) => outcome.reason.message);
  return { refused: [...new Set(refused)], last: Math.max(...outcomes.map((outcome) => outcome.value?.seq ?? 0)) };
}

run(async (nc) => {
  const jsm = await jetstreamManager(nc);
  const js = jetstream(nc);
  for (const storage of ["file", "memory"]) {
    const name = storage.toUpperCase();
    await jsm.streams.add({ name, subjects: [`${storage}.*`], storage, max_msgs: 16 });
    say(`published to ${storage}`, await published(js, `${storage}.a`));
    const { messages, first_seq, last_seq } = (await jsm.streams.info(name)).state;
    say("kept", { messages, first_seq, last_seq });
  }
  const store = await new Objm(nc).create("files");
  const body = new Uint8Array(24 * 1024 * 1024 + 5).fill(9);
  const info = await store.putBlob({ name: "large" }, body);
  say("object", { size: info.size, chunks: info.chunks });
  const back = await store.getBlob("large");
  say("back", { length: back.length, last: back[back.length - 1] });
});
