// Connects with a creds file, and gets its own message back: creds.js URL CREDS.
import { connect, credsAuthenticator } from "@nats-io/transport-node";
import { readFileSync } from "node:fs";

async function main(servers, creds) {
  const authenticator = credsAuthenticator(readFileSync(creds));
  const client = await connect({ servers, authenticator, reconnect: false, timeout: 5000 });
  const subscription = client.subscribe("hello.node", { max: 1 });
  client.publish("hello.node", "hi");
  for await (const message of subscription) {
    if (message.string() !== "hi") throw new Error("another message");
  }
  await client.close();
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(String(error));
  process.exit(1);
});
