// A page that is an MQTT 5 client by WebSocket: it shows what a sensor publishes, and asks a service, which is a NATS program.
import mqtt from "mqtt";

const at = (id) => document.getElementById(id);
const server = new URLSearchParams(location.search).get("server") ?? "ws://localhost:8080/mqtt";
const answers = `answers/${crypto.randomUUID()}`;
const client = mqtt.connect(server, { protocolVersion: 5, reconnectPeriod: 200 });

const show = (state) => {
  at("state").textContent = state;
  at("state").className = state;
};
client.on("close", () => show("reconnecting"));
client.on("connect", async () => {
  await client.subscribeAsync({ "sensors/kitchen/temperature": { qos: 1 }, [answers]: { qos: 1 } });
  show("connected");
});

const values = [];
client.on("message", (topic, payload, packet) => {
  if (topic === answers) {
    at("answer").textContent = payload.toString();
    return;
  }
  const value = Number(payload.toString());
  values.push(value);
  if (values.length > 60) values.shift();
  at("value").textContent = `${value.toFixed(1)} °C`;
  at("sensor").textContent = packet.properties?.userProperties?.sensor ?? "";
  const [low, high] = [Math.min(...values) - 0.5, Math.max(...values) + 0.5];
  const x = (index) => (values.length < 2 ? 0 : (100 * index) / (values.length - 1));
  at("line").setAttribute("points", values.map((of, index) => `${x(index)},${40 - (40 * (of - low)) / (high - low)}`).join(" "));
});

at("ask").addEventListener("click", () => {
  client.publish("advice/temperature", at("value").textContent, { qos: 1, properties: { responseTopic: answers } });
});
