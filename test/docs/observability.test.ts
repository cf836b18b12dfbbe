// docs/observability.md keeps its word: its code runs as printed and gives spans and metrics, and its table has every operation.

import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import {
  metrics,
  type Meter,
  type MeterProvider,
  type Span,
  type SpanOptions,
  trace,
  type Tracer,
  type TracerProvider,
} from "@opentelemetry/api";
import { defineEvent, type } from "../../src/events/definition.ts";
import { Store } from "../../src/store.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";

const projectRoot = fileURLToPath(new URL("../../", import.meta.url));
const page = readFileSync(join(projectRoot, "docs", "observability.md"), "utf8");

interface SeenSpan {
  readonly name: string;
  readonly attributes: Record<string, unknown>;
  ended: boolean;
  exceptions: unknown[];
  status: unknown;
}

const spans: SeenSpan[] = [];
const measured: { readonly instrument: string; readonly value: number; readonly attributes: Record<string, unknown> }[] = [];

/** Providers that keep what they are given. */
function provideTracer(): void {
  const tracer = {
    startSpan(name: string, options?: SpanOptions) {
      const span: SeenSpan = { name, attributes: { ...options?.attributes }, ended: false, exceptions: [], status: null };
      spans.push(span);
      return {
        setAttribute: (attribute: string, value: unknown) => void (span.attributes[attribute] = value),
        recordException: (error: unknown) => void span.exceptions.push(error),
        setStatus: (status: unknown) => void (span.status = status),
        end: () => {
          assert(!span.ended, `${name} ends once`);
          span.ended = true;
        },
      } as unknown as Span;
    },
  } as unknown as Tracer;
  trace.setGlobalTracerProvider({ getTracer: () => tracer } satisfies TracerProvider);
  const instrument = (name: string) => {
    const note = (value: number, attributes: Record<string, unknown> = {}): void =>
      void measured.push({ instrument: name, value, attributes });
    return { add: note, record: note };
  };
  const meter = { createHistogram: instrument, createCounter: instrument } as unknown as Meter;
  metrics.setGlobalMeterProvider({ getMeter: () => meter } satisfies MeterProvider);
}

let folder = "";
before(() => {
  // Beside node_modules, from where the page's imports are found.
  folder = mkdtempSync(join(projectRoot, "node_modules", ".observability-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

const Ticked = defineEvent("Ticked", { schema: type<{ n: number }>() });
const at = { entity: "clock", scope: "test" };

test("the page's code turns operations into spans and metrics", async () => {
  const code = /^```js\n(.*?)^```$/ms.exec(page)?.[1];
  assert(code !== undefined, "the page has a block of JavaScript");
  const file = join(folder, "observe.mjs");
  writeFileSync(file, code);
  provideTracer();
  const { observeBatpak } = (await import(pathToFileURL(file).href)) as { observeBatpak(): void };
  observeBatpak();
  const disk = createMemoryDisk();
  const store = await Store.open("/seen", { events: [Ticked], disk, segmentBytesMax: 4096 });
  for (let n = 0; n < 30; n++) await store.append(at, [Ticked({ n }), Ticked({ n })]);
  await store.appendBatch([{ coordinate: at, event: Ticked({ n: 30 }) }]);
  await assert.rejects(store.append(at, Ticked({ n: 0 }), { expect: "none" }), { code: "CONFLICT" });
  assert.equal((await store.read({ kind: Ticked }).toArray()).length, 61);
  for await (const event of store.read()) if (event.sequence === 3) break;
  await store.read().first();
  await store.checkpoint();
  assert.equal((await store.compact({ keepLast: 1000 })).removedEvents, 0);
  await store.close();

  const named = (name: string): SeenSpan[] => spans.filter((span) => span.name === `batpak ${name}`);
  assert(spans.every((span) => span.ended && span.attributes["batpak.directory"] === "/seen"));
  assert.equal(named("append").length, 32);
  assert.equal(named("append")[0].attributes["batpak.entity"], "clock");
  assert.deepEqual(
    named("append")
      .filter(({ status }) => status !== null)
      .map(({ exceptions }) => exceptions.length),
    [1],
  );
  assert.equal(named("recover").length, 1);
  assert.equal(named("read").length, 3);
  assert.equal(named("read")[0].attributes["batpak.events"], 61);
  assert.equal(named("compact").length, 1);
  assert(named("commit").length > 0 && named("rotate").length > 1 && named("checkpoint").length > 0);
  const sum = (operation: string): number =>
    measured
      .filter(({ instrument, attributes }) => instrument === "batpak.events" && attributes["batpak.operation"] === operation)
      .reduce((total, { value }) => total + value, 0);
  assert.equal(sum("append"), 61);
  assert.equal(sum("commit"), 61);
  assert.equal(measured.filter(({ instrument }) => instrument === "batpak.operation.duration").length, spans.length);
});

test("the page's tables have every operation and every notice", () => {
  const source = readFileSync(join(projectRoot, "src", "base", "diagnostics.ts"), "utf8");
  for (const [, operation] of source.matchAll(/tracingChannel<object>\("batpak\.([a-z]+)"\)/g)) {
    assert.match(page, new RegExp(`^\\| \`${operation}\` \\|`, "m"));
  }
  for (const [, notice] of source.matchAll(/channel\("(batpak:[a-z-]+)"\)/g)) assert.match(page, new RegExp(`^\\| \`${notice}\` \\|`, "m"));
});

test("the batpak 0.3 layout tells of the same operations", async () => {
  const told = new Set<string>();
  const stop = ["append", "commit", "read", "checkpoint", "rotate", "recover"].map((operation) => {
    const listener = (): void => void told.add(operation);
    subscribe(`tracing:batpak.${operation}:asyncEnd`, listener);
    return () => unsubscribe(`tracing:batpak.${operation}:asyncEnd`, listener);
  });
  const kinded = defineEvent("Kinded", { kind: { category: 2, type: 1 } });
  const store = await Store.open("/seen", { layout: "batpak-0.3", disk: createMemoryDisk(), segmentBytesMax: 4096 });
  for (let n = 0; n < 40; n++) await store.append(at, kinded({ n }));
  await store.read().toArray();
  await store.close();
  assert.deepEqual([...told].sort(), ["append", "checkpoint", "commit", "read", "recover", "rotate"]);
  for (const end of stop) end();
});
