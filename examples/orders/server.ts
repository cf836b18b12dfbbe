/**
 * Orders over HTTP.
 *
 *   POST /orders/ID           { "do": "place" | "pay" | "ship" | "cancel", … }, with the header Idempotency-Key
 *   GET  /orders/ID           the order as it is
 *   GET  /orders/ID/history   what happened to it
 *   GET  /sales               all orders together
 */
import { createServer, type IncomingMessage, type Server } from "node:http";
import { isStoreError } from "batpak";
import { type Command, Order, type OrderStore, Refused } from "./order.ts";
import { Sales } from "./sales.ts";

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export function createOrderServer(store: OrderStore): Server {
  return createServer((request, response) => {
    void answer(store, request).then(({ status, body }) => {
      response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`);
    });
  });
}

async function answer(store: OrderStore, request: IncomingMessage): Promise<Answer> {
  try {
    const [, collection, id, part] = (request.url ?? "").split("/").map(decodeURIComponent);
    const what = `${request.method} ${collection}`;
    if (what === "GET sales") return { status: 200, body: (await store.project(Sales)).state };
    if (id === undefined || id === "") return { status: 404, body: { error: "there is nothing here" } };
    const entity = `order:${id}`;
    if (what === "POST orders") return await command(store, entity, request);
    if (what === "GET orders" && part === "history") return { status: 200, body: await store.read({ entity }).toArray() };
    if (what === "GET orders" && part === undefined) {
      const { state, events } = await store.project(Order, entity);
      return events === 0 ? { status: 404, body: { error: "there is no such order" } } : { status: 200, body: state };
    }
    return { status: 404, body: { error: "there is nothing here" } };
  } catch (error) {
    return failure(error);
  }
}

/** The header names the command: whoever gets no answer sends it again, and it is done once. */
async function command(store: OrderStore, entity: string, request: IncomingMessage): Promise<Answer> {
  const key = request.headers["idempotency-key"];
  const given = JSON.parse(await bodyOf(request)) as Command;
  const options = typeof key === "string" ? { commandId: key } : {};
  const receipts = await store.handle({ entity, scope: "shop" }, Order, given, options);
  return { status: 200, body: { events: receipts.map(({ id, clock }) => ({ id, clock })) } };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += chunk as string;
  return text;
}

function failure(error: unknown): Answer {
  if (error instanceof Refused) return { status: 409, body: { error: error.message } };
  if (error instanceof SyntaxError || error instanceof URIError) return { status: 400, body: { error: error.message } };
  // Somebody else changed the order again and again: the client may try anew.
  if (isStoreError(error, "CONFLICT")) return { status: 503, body: { error: "the order is busy" } };
  console.error(error);
  return { status: 500, body: { error: "something went wrong here" } };
}
