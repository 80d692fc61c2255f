// @nats-io/transport-node and, by WebSocket, @nats-io/nats-core against the server at $SERVER: prints a line for each thing that works,
// ends with an error at the first that does not.
import assert from "node:assert";
import { spawn } from "node:child_process";
import net from "node:net";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { wsconnect } from "@nats-io/nats-core";
import { connect, headers, nkeyAuthenticator } from "@nats-io/transport-node";

const here = process.env.CLIENTS;
const seed = "SUAH6HNJ3LG7VOXTLL2XC365TLO5HO3ARUIIAA4FQFQQINOOQBQPBZDMVI";
const ok = (name) => console.log(`ok ${name}`);

const freePort = () => new Promise((resolve) => {
  const probe = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});

// A server with one of the files of configs/, on free ports of the loopback interface.
class Server {
  static running = new Set();

  static async with(config, body) {
    const server = new Server();
    server.config = config;
    server.port = await freePort();
    server.websocketPort = await freePort();
    server.url = `127.0.0.1:${server.port}`;
    await server.start();
    await body(server);
    await server.stop();
  }

  async start() {
    const args = ["-c", `configs/${this.config}.conf`, "-a", "127.0.0.1", "-p", `${this.port}`];
    this.process = spawn(process.env.SERVER, args, {
      cwd: here,
      stdio: "ignore",
      env: { ...process.env, WEBSOCKET_PORT: `${this.websocketPort}` },
    });
    Server.running.add(this.process);
    for (let tries = 0; tries < 500; tries++) {
      const up = await new Promise((resolve) => {
        const socket = net.connect(this.port, "127.0.0.1", () => resolve(socket.end() && true));
        socket.on("error", () => resolve(false));
      });
      if (up) return;
      await pause(20);
    }
    throw new Error(`the server did not start with configs/${this.config}.conf`);
  }

  async stop() {
    const ended = new Promise((resolve) => this.process.on("exit", resolve));
    this.process.kill("SIGTERM");
    await ended;
    Server.running.delete(this.process);
  }
}
process.on("exit", () => Server.running.forEach((p) => p.kill("SIGKILL")));

const refused = (options) =>
  assert.rejects(connect({ reconnect: false, ...options }), (e) => /authorization/i.test(`${e.name} ${e.message}`));

async function authentication() {
  await Server.with("users", async ({ url }) => {
    for (const user of ["alice", "bob"]) {
      const nc = await connect({ servers: url, user, pass: "s3cret" });
      await nc.flush();
      await nc.close();
    }
    ok("user and password");
    await refused({ servers: url, user: "alice", pass: "wrong" });
    await refused({ servers: url });
    ok("wrong password");
  });
  await Server.with("token", async ({ url }) => {
    const nc = await connect({ servers: url, token: "t0ken" });
    await nc.flush();
    await nc.close();
    await refused({ servers: url, token: "other" });
    ok("token");
  });
  await Server.with("nkey", async ({ url }) => {
    const authenticator = nkeyAuthenticator(new TextEncoder().encode(seed));
    const nc = await connect({ servers: url, authenticator });
    await nc.flush();
    await nc.close();
    ok("nkey");
  });
}

async function tls() {
  await Server.with("tls", async ({ port }) => {
    const nc = await connect({ servers: `localhost:${port}`, tls: { caFile: path.join(here, "tls/ca.pem") } });
    const sub = nc.subscribe("secret", { max: 1 });
    nc.publish("secret", new Uint8Array(100_000));
    for await (const msg of sub) assert.equal(msg.data.length, 100_000);
    await nc.close();
    ok("tls");
  });
}

// By TCP, or by WebSocket.
const byTcp = (server) => (options) => connect({ servers: server.url, ...options });
const byWebSocket = (server) => (options) => wsconnect({ servers: `ws://127.0.0.1:${server.websocketPort}`, ...options });

async function messages(join) {
  const nc = await join();
  ok("connect");

  const sub = nc.subscribe("greet.*", { max: 1000 });
  for (let n = 0; n < 1000; n++) nc.publish(`greet.${n}`, `${n}`);
  let next = 0;
  for await (const msg of sub) {
    assert.equal(msg.subject, `greet.${next}`);
    assert.equal(msg.string(), `${next++}`);
  }
  assert.equal(next, 1000);
  ok("publish and subscribe");

  const counts = [0, 0, 0];
  counts.forEach((_, n) => nc.subscribe("work", { queue: "workers", callback: () => counts[n]++ }));
  for (let n = 0; n < 300; n++) nc.publish("work", "job");
  await nc.flush();
  assert.equal(counts.reduce((a, b) => a + b), 300);
  assert(counts.every((n) => n > 0), `${counts}`);
  ok("queue groups");

  nc.subscribe("double", { callback: (_, msg) => msg.respond(msg.string().repeat(2)) });
  assert.equal((await nc.request("double", "ab", { timeout: 5000 })).string(), "abab");
  ok("request and reply");
  await assert.rejects(nc.request("nobody.there", "", { timeout: 5000 }), /no responders/i);
  ok("no responders");

  const head = headers();
  head.set("One", "1");
  head.append("Two", "zwei");
  head.append("Two", "drei");
  const heard = nc.subscribe("headers", { max: 1 });
  nc.publish("headers", "body", { headers: head });
  for await (const msg of heard) {
    assert.equal(msg.headers.get("One"), "1");
    assert.deepEqual(msg.headers.values("Two"), ["zwei", "drei"]);
    assert.equal(msg.string(), "body");
  }
  ok("headers");
  await nc.close();
}

async function drain(join) {
  const other = await join();
  const nc = await join();
  let seen = 0;
  const done = (async () => {
    for await (const _ of nc.subscribe("drain")) {
      await pause(1);
      seen++;
    }
  })();
  await nc.flush();
  for (let n = 0; n < 200; n++) other.publish("drain", "x");
  await other.flush();
  await nc.flush();
  await nc.drain();
  await done;
  assert.equal(seen, 200);
  assert(nc.isClosed());
  await other.close();
  ok("drain");
}

async function reconnect(server, join) {
  const nc = await join({ reconnectTimeWait: 50, maxReconnectAttempts: -1 });
  const sub = nc.subscribe("again", { max: 1 });
  await nc.flush();
  const back = (async () => {
    for await (const status of nc.status()) if (status.type === "reconnect") return;
  })();
  await server.stop();
  await server.start();
  await back;
  nc.publish("again", "here");
  for await (const msg of sub) assert.equal(msg.string(), "here");
  await nc.close();
  ok("reconnect");
}

// Whose certificate is trusted says NODE_EXTRA_CA_CERTS.
async function websocketTls() {
  await Server.with("websocket-tls", async ({ websocketPort }) => {
    const nc = await wsconnect({ servers: `wss://localhost:${websocketPort}` });
    const sub = nc.subscribe("secret", { max: 1 });
    nc.publish("secret", new Uint8Array(100_000));
    for await (const msg of sub) assert.equal(msg.data.length, 100_000);
    await nc.close();
    ok("tls by WebSocket");
  });
}

async function websocketUsers() {
  await Server.with("websocket-users", async ({ websocketPort }) => {
    const servers = `ws://127.0.0.1:${websocketPort}`;
    const nc = await wsconnect({ servers, user: "page", pass: "s3cret" });
    await nc.flush();
    await nc.close();
    await assert.rejects(wsconnect({ servers, user: "page", pass: "wrong", reconnect: false }), /authorization/i);
    await assert.rejects(wsconnect({ servers, user: "shell", pass: "s3cret", reconnect: false }), /authorization/i);
    ok("users by WebSocket");
  });
}

for (const [config, by] of [["open", byTcp], ["websocket", byWebSocket]]) {
  console.log(`configs/${config}.conf:`);
  await Server.with(config, async (server) => {
    const join = by(server);
    await messages(join);
    await drain(join);
    await reconnect(server, join);
  });
}
await websocketUsers();
await websocketTls();
await authentication();
await tls();
