// mqtt.js against the broker at 127.0.0.1:$MQTT_PORT (WebSocket: $MQTT_WS_PORT), in the version of the first argument: 3, 4 (3.1.1) or 5.
// Prints a line for each thing that works, ends with an error at the first that does not.
import mqtt from "mqtt";

const VERSION = Number(process.argv[2]);
const PATIENCE_MS = 30_000;
const MARK = `node${VERSION}`;
const topic = (of) => `${MARK}/${of}`;
const ok = (what) => console.log(`ok ${what}`);

function check(is, what) {
  if (!is) throw new Error(what);
}

// A value that comes in time.
const within = (promise, what) => Promise.race([
  promise,
  new Promise((_, reject) => setTimeout(() => reject(new Error(`no ${what}`)), PATIENCE_MS).unref()),
]);

class Client {
  constructor(name, options = {}) {
    const { websocket = false, ...rest } = options;
    const url = websocket ? `ws://127.0.0.1:${process.env.MQTT_WS_PORT}/mqtt` : `mqtt://127.0.0.1:${process.env.MQTT_PORT}`;
    const protocolId = VERSION === 3 ? "MQIsdp" : "MQTT";
    this.client = mqtt.connect(url, { clientId: MARK + name, protocolId, protocolVersion: VERSION, reconnectPeriod: 0, clean: true, ...rest });
    this.client.on("error", () => {});
    this.got = [];
    this.waiting = [];
    this.client.on("message", (of, payload, packet) => {
      const message = { topic: of, text: payload.toString(), packet };
      const next = this.waiting.shift();
      if (next) next(message); else this.got.push(message);
    });
  }

  static async open(name, options) {
    const client = new Client(name, options);
    client.connack = await within(new Promise((resolve, reject) => {
      client.client.once("connect", resolve);
      client.client.once("error", reject);
    }), "CONNACK");
    return client;
  }

  async message(text) {
    const message = this.got.shift() ?? await within(new Promise((resolve) => this.waiting.push(resolve)), `message ${text}`);
    check(text === undefined || message.text === text, `${message.topic}: ${message.text}, not ${text}`);
    return message;
  }

  subscribe(filter, options) { return within(this.client.subscribeAsync(filter, options), "SUBACK"); }
  publish(of, text, options) { return within(this.client.publishAsync(of, text, options), "acknowledgement"); }
  close(options) { return within(this.client.endAsync(false, options), "end"); }
}

for (const websocket of [false, true]) {
  const [a, b] = [await Client.open("a", { websocket }), await Client.open("b")];
  for (const qos of [0, 1, 2]) {
    await a.subscribe(topic(`m/${qos}/+`), { qos });
    for (let at = 0; at < 20; at++) await b.publish(topic(`m/${qos}/${at}`), `${qos} ${at}`, { qos });
    for (let at = 0; at < 20; at++) {
      const { packet } = await a.message(`${qos} ${at}`);
      check(packet.qos === qos && !packet.retain, `QoS ${packet.qos}`);
    }
  }
  await Promise.all(Array.from({ length: 200 }, (_, at) => b.publish(topic("m/2/many"), `${at}`, { qos: 2 })));
  for (let at = 0; at < 200; at++) await a.message(`${at}`);
  await a.close();
  await b.close();
  ok(`messages of QoS 0, 1 and 2${websocket ? " by WebSocket" : ""}`);
}

{
  const b = await Client.open("b");
  await b.publish(topic("r"), "kept", { qos: 1, retain: true });
  const a = await Client.open("a", { websocket: true });
  await a.subscribe(topic("#"), { qos: 1 });
  check((await a.message("kept")).packet.retain, "is not marked as retained");
  await b.publish(topic("r"), "", { qos: 1, retain: true });
  await a.message("");
  await a.close();
  await b.close();
  ok("retained messages");
}

{
  const goes = { clean: false, ...(VERSION === 5 ? { properties: { sessionExpiryInterval: 600 } } : {}) };
  let a = await Client.open("s", goes);
  await a.subscribe(topic("s"), { qos: 2 });
  await a.close();
  const b = await Client.open("b");
  for (let at = 0; at < 10; at++) await b.publish(topic("s"), `${at}`, { qos: 2 });
  a = new Client("s", goes);
  for (let at = 0; at < 10; at++) await a.message(`${at}`);
  await a.close();
  await (await Client.open("s")).close();
  await b.close();
  ok("a session goes on");
}

{
  const a = await Client.open("a");
  await a.subscribe(topic("will"), { qos: 1 });
  const w = await Client.open("w", { will: { topic: topic("will"), payload: Buffer.from("lost"), qos: 1, retain: false } });
  w.client.stream.destroy();
  await a.message("lost");
  await a.close();
  ok("a will");
}

if (VERSION === 5) {
  const [a, b] = [await Client.open("a"), await Client.open("b", { properties: { topicAliasMaximum: 10 }, autoUseTopicAlias: true, autoAssignTopicAlias: true })];
  await a.subscribe(topic("p"), { qos: 1, properties: { subscriptionIdentifier: 42 } });
  const properties = { userProperties: { color: "red" }, contentType: "text/plain", responseTopic: topic("answers"), correlationData: Buffer.from("17") };
  for (let at = 0; at < 3; at++) await b.publish(topic("p"), `${at}`, { qos: 1, properties: { ...properties } });
  for (let at = 0; at < 3; at++) {
    const got = (await a.message(`${at}`)).packet.properties;
    check(got.userProperties.color === "red" && got.contentType === "text/plain" && got.responseTopic === topic("answers"), JSON.stringify(got));
    check(got.correlationData.toString() === "17" && got.subscriptionIdentifier === 42, JSON.stringify(got));
  }
  await a.close();
  await b.close();
  ok("properties");
}
process.exit(0);
