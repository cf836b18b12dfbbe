/**
 * An order service: a decider for each order, a projection over all of them, and an HTTP endpoint in front.
 *
 *   npm run example:orders                 starts the service, plays a few customers, and stops
 *   npm run example:orders -- --serve      stays, on port 8080 and the store in .demo/orders
 */
import { mkdtemp, rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Store } from "batpak";
import { type Command, orderEvents } from "./order.ts";
import { createOrderServer } from "./server.ts";

const stay = process.argv.includes("--serve");
const directory = stay ? join(".demo", "orders") : await mkdtemp(join(tmpdir(), "batpak-orders-"));
const store = await Store.open(directory, { events: orderEvents });
const server = createOrderServer(store);
await new Promise<void>((listening) => server.listen(stay ? 8080 : 0, "127.0.0.1", listening));
const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

async function stop(): Promise<void> {
  await new Promise((closed) => server.close(closed));
  await store.close();
}

if (stay) {
  console.log(`orders at ${base}, the store in ${directory}; stop with Ctrl-C`);
  process.once("SIGINT", () => void stop());
} else {
  try {
    await playCustomers();
  } finally {
    server.closeAllConnections();
    await stop();
    await rm(directory, { recursive: true });
  }
}

async function playCustomers(): Promise<void> {
  const lines = [
    { sku: "tea", quantity: 2, cents: 450 },
    { sku: "pot", quantity: 1, cents: 2900 },
  ];
  await post("507", "place-507", { do: "place", customer: "Olena", lines });
  await post("507", "pay-a", { do: "pay", cents: 100 });
  await post("507", "pay-b", { do: "pay", cents: 3800 });
  console.log("\nThe answer to the payment was lost, and the client sends it again: the same events, not a second payment.");
  await post("507", "pay-b", { do: "pay", cents: 3800 });

  console.log("\nTen clicks on “ship” at once: one parcel.");
  const clicks = Array.from({ length: 10 }, (_, i) => send("507", `ship-${i}`, { do: "ship", parcel: `DE${i}` }));
  const statuses = (await Promise.all(clicks)).map(({ status }) => status);
  console.log(
    `  ${statuses.filter((status) => status === 200).length} shipped, ${statuses.filter((status) => status === 409).length} refused`,
  );

  await post("508", "place-508", { do: "place", customer: "Li", lines: lines.slice(0, 1) });
  await post("508", "cancel-508", { do: "cancel", reason: "changed my mind" });
  console.log("");
  await get("/orders/507");
  await get("/orders/509");
  await get("/sales");
  const history = (await (await fetch(`${base}/orders/507/history`)).json()) as { type: string; clock: number }[];
  console.log(`order 507: ${history.map(({ clock, type }) => `${clock} ${type}`).join(", ")}`);
}

async function send(id: string, key: string, command: Command): Promise<{ status: number; text: string }> {
  const headers = { "content-type": "application/json", "idempotency-key": key };
  const response = await fetch(`${base}/orders/${id}`, { method: "POST", headers, body: JSON.stringify(command) });
  return { status: response.status, text: (await response.text()).trim() };
}

async function post(id: string, key: string, command: Command): Promise<void> {
  const { status, text } = await send(id, key, command);
  console.log(`${command.do} ${id}: ${status} ${text}`);
}

async function get(path: string): Promise<void> {
  const response = await fetch(base + path);
  console.log(`GET ${path}: ${response.status} ${(await response.text()).trim()}`);
}
