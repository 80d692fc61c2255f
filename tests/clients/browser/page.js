// A page that is a NATS client: it receives, publishes, requests, and comes back by itself when the server does.
import { wsconnect } from "@nats-io/nats-core";

const at = (id) => document.getElementById(id);
const show = (state) => {
  at("state").textContent = state;
  at("state").className = state;
};

const servers = new URLSearchParams(location.search).get("server") ?? "ws://localhost:8080";
const nc = await wsconnect({ servers, name: "page", reconnectTimeWait: 100, maxReconnectAttempts: -1 });
at("server").textContent = nc.getServer();
show("connected");

(async () => {
  for await (const { type } of nc.status()) {
    if (type === "disconnect" || type === "reconnecting") show("reconnecting");
    if (type === "reconnect") show("connected");
  }
})();
nc.closed().then(() => show("closed"));

const messages = nc.subscribe("chat.>");
(async () => {
  for await (const message of messages) {
    const item = document.createElement("li");
    item.textContent = `${message.subject.slice("chat.".length)}: ${message.string()}`;
    at("messages").append(item);
  }
})();

at("say").addEventListener("submit", (event) => {
  event.preventDefault();
  nc.publish("chat.page", at("text").value);
  at("text").value = "";
});
at("ask").addEventListener("click", async () => {
  try {
    at("answer").textContent = (await nc.request("time", "", { timeout: 2000 })).string();
  } catch (error) {
    at("answer").textContent = `no answer: ${error.message}`;
  }
});
at("leave").addEventListener("click", () => nc.drain());
