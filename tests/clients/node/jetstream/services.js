// Services by @nats-io/services, whose work is in a stream. Prints what it saw; argument: the server's URL.
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Svcm } from "@nats-io/services";
import { all, run, said, say } from "./said.js";

run(async (nc) => {
  const jsm = await jetstreamManager(nc);
  const js = jetstream(nc);
  await jsm.streams.add({ name: "AUDIT", subjects: ["audit.>"] });
  const svcm = new Svcm(nc);
  const service = await svcm.add({ name: "text", version: "1.2.3", description: "works on text", metadata: { team: "test" } });
  const group = service.addGroup("text");
  group.addEndpoint("upper", {
    handler: async (err, message) => {
      const { seq } = await js.publish("audit.upper", message.data);
      message.respond(`${seq} ${message.string().toUpperCase()}`);
    },
    metadata: { kind: "upper" },
  });
  group.addEndpoint("fail", { handler: (err, message) => message.respondError(422, "cannot do it"), queue: "own" });
  await nc.flush();
  say("answer", (await nc.request("text.upper", "words")).string());
  const failed = await nc.request("text.fail");
  say("error", [said(failed.headers), failed.string()]);
  const client = svcm.client({ strategy: "stall", maxWait: 500 });
  say("ping", await all(await client.ping("text")));
  say("info", await all(await client.info("text")));
  say("stats", await all(await client.stats("text")));
  say("audited", (await jsm.streams.getMessage("AUDIT", { last_by_subj: "audit.upper" })).string());
  await service.stop();
  say("stopped", service.isStopped);
});
