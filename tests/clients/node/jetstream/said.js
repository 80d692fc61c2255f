// What a program saw, one line each, without what differs from run to run.
import { connect } from "@nats-io/transport-node";
import { setTimeout as pause } from "node:timers/promises";

// Times, ids and rates.
const volatile = new Set(["created", "ts", "first_ts", "last_ts", "last_active", "time", "timestamp", "active", "mtime", "nuid", "pause_remaining", "_nats.ver", "cluster", "id", "started",
  "processing_time", "average_processing_time"]);

function plain(value) {
  if (value instanceof Uint8Array) return value.length < 100 ? new TextDecoder().decode(value) : `${value.length} bytes`;
  if (value instanceof Date) return "a time";
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "bigint") return value.toString();
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.keys(value).filter((key) => !volatile.has(key) && value[key] !== undefined).sort().map((key) => [key, plain(value[key])]));
  }
  return value;
}

export const say = (name, value = true) => console.log(`${name}: ${JSON.stringify(plain(value) ?? null)}`);

// Headers as a list of names and values.
export const said = (headers) => headers ? [...headers].map(([name, values]) => [name, name === "Nats-Time-Stamp" ? "a time" : values]) : [];

// The error that it ends with.
export async function sayError(name, promise) {
  try {
    say(name, { noError: await promise });
  } catch (error) {
    say(name, error.code ? { code: error.code, status: error.status, message: error.message } : `${error.name}: ${error.message}`);
  }
}

// Asks again until it is so.
export async function until(asked, isSo, what) {
  for (let tries = 0; tries < 500; tries++) {
    const value = await asked();
    if (isSo(value)) return value;
    await pause(20);
  }
  throw new Error(`waiting for ${what}`);
}

// As many as there shall be, and no longer than 10 s.
export async function taken(iterator, count) {
  const found = [];
  const timer = setTimeout(() => iterator.stop?.(), 10_000);
  for await (const one of iterator) {
    found.push(one);
    if (found.length === count) break;
  }
  clearTimeout(timer);
  return found;
}

export async function all(iterator) {
  const found = [];
  for await (const one of iterator) found.push(one);
  return found;
}

export async function run(main) {
  const nc = await connect({ servers: process.argv[2], reconnect: false });
  const timer = setTimeout(() => {
    console.error("not done after 60 s");
    process.exit(1);
  }, 60_000);
  await main(nc);
  clearTimeout(timer);
  await nc.close();
}
