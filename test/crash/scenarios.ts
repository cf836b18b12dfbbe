/** What is under way when the power fails. Small, so that every operation of each can be crashed. */
import { defineEvent } from "../../src/events/definition.ts";
import type { Scenario } from "./driver.ts";

const SMALL = { segmentBytesMax: 4096, checkpoint: false } as const;

export const scenarios: readonly Scenario[] = [
  {
    name: "single appends",
    options: { segmentBytesMax: 64 * 1024 },
    async run(driver) {
      await driver.open();
      // With the fourth, zeros are laid out.
      for (let i = 0; i < 6; i++) await driver.append(`entity:${i % 2}`);
      await driver.close();
    },
  },
  {
    name: "group commits with many in flight",
    options: SMALL,
    async run(driver) {
      await driver.open();
      for (let round = 0; round < 3; round++) {
        await Promise.all(Array.from({ length: 6 }, (_, i) => driver.append(`entity:${i % 4}`, { padBytes: 10 + 97 * (i % 3) })));
      }
      await driver.close();
    },
  },
  {
    name: "batches over entities and sectors",
    options: SMALL,
    async run(driver) {
      await driver.open();
      await Promise.all([driver.batch(["a", "b", "a", "c"], 200), driver.append("b"), driver.batch(["c", "c", "b"], 400)]);
      await driver.batch(["a", "b"], 700, true);
      await driver.close();
    },
  },
  {
    name: "keys and their retries",
    options: SMALL,
    async run(driver) {
      await driver.open();
      const first = await driver.append("a", { idempotencyKey: "one" });
      await Promise.all([driver.retry(first, { idempotencyKey: "one" }), driver.append("a", { idempotencyKey: "two" })]);
      await driver.close();
      await driver.open();
      await driver.retry(first, { idempotencyKey: "one" });
      await driver.append("b", { idempotencyKey: "one" });
      await driver.close();
    },
  },
  {
    name: "rotation, index blocks and checkpoints",
    options: { segmentBytesMax: 4096, checkpoint: { everyEvents: 3 } },
    async run(driver) {
      await driver.open();
      for (let i = 0; i < 14; i++) await driver.append(`entity:${i % 3}`, { padBytes: 600 });
      await driver.close();
    },
  },
  {
    name: "rotation under load",
    options: { segmentBytesMax: 4096, checkpoint: { everyEvents: 5 } },
    async run(driver) {
      await driver.open();
      await Promise.all(Array.from({ length: 18 }, (_, i) => driver.append(`entity:${i % 5}`, { padBytes: 300 + 50 * i })));
      await driver.batch(["x", "y", "x"], 2500);
      await driver.close();
    },
  },
  {
    name: "rotation without checkpoints, reopened",
    options: SMALL,
    async run(driver) {
      for (let opening = 0; opening < 3; opening++) {
        await driver.open();
        for (let i = 0; i < 3; i++) await driver.append(`entity:${i}`, { padBytes: 1100 });
        await driver.close();
      }
    },
  },
  {
    name: "os durability with sync",
    options: { segmentBytesMax: 4096, durability: "os", checkpoint: { everyEvents: 4 } },
    async run(driver) {
      await driver.open();
      await Promise.all([driver.append("a"), driver.append("b", { padBytes: 900 })]);
      await driver.append("a", { padBytes: 900 });
      await driver.sync();
      for (let i = 0; i < 4; i++) await driver.append("c", { padBytes: 700 });
      await Promise.all([driver.sync(), driver.append("b"), driver.batch(["a", "c"], 600)]);
      await driver.append("a");
      await driver.close();
    },
  },
  {
    name: "interval durability",
    options: { segmentBytesMax: 4096, durability: { everyMs: 1, everyEvents: 2 }, checkpoint: false },
    async run(driver) {
      await driver.open();
      for (let i = 0; i < 7; i++) await driver.append(`entity:${i % 2}`, { padBytes: 500 });
      await driver.sync();
      await Promise.all([driver.append("a"), driver.append("b")]);
      await driver.close();
    },
  },
  {
    name: "checkpoints asked for while appending, reopened",
    options: { segmentBytesMax: 64 * 1024, checkpoint: { everyEvents: 1 } },
    async run(driver) {
      await driver.open();
      await Promise.all([driver.append("a"), driver.store.checkpoint(), driver.append("b")]);
      await Promise.all([driver.append("a"), driver.store.checkpoint()]);
      await driver.close();
      await driver.open();
      await driver.append("a");
      await driver.close();
    },
  },
  {
    name: "killed amid appends, and opened by another process",
    options: { segmentBytesMax: 4096, checkpoint: { everyEvents: 4 } },
    async run(driver) {
      await driver.open();
      await driver.append("a", { padBytes: 700 });
      await driver.dieAndReopen([driver.append("a"), driver.batch(["b", "a", "c"], 900), driver.append("c")]);
      await driver.append("b");
      await driver.dieAndReopen();
      await driver.append("c", { padBytes: 900 });
      await driver.close();
    },
  },
  {
    name: "killed while the system has it, and opened by another process",
    options: { segmentBytesMax: 4096, durability: "os", checkpoint: false },
    async run(driver) {
      await driver.open();
      await driver.append("a", { padBytes: 700 });
      await Promise.all([driver.append("b", { padBytes: 900 }), driver.batch(["b", "a", "c"], 300)]);
      await driver.dieAndReopen([driver.append("a"), driver.append("c", { padBytes: 1500 })]);
      await driver.append("b");
      await driver.close();
    },
  },
  {
    name: "definitions",
    layouts: ["native"],
    options: { segmentBytesMax: 4096, checkpoint: { everyEvents: 3 } },
    async run(driver) {
      await driver.open();
      for (let i = 0; i < 5; i++) {
        const definition = defineEvent(`Event${i}`);
        const attempt = driver.ledger.begin([{ entity: "a", scope: "scope:a" }], 800);
        const data = attempt.items[0]?.data;
        driver.ledger.acknowledge(attempt, [await driver.store.append({ entity: "a", scope: "scope:a" }, definition(data))]);
      }
      await driver.close();
    },
  },
  {
    name: "compaction, and keys asked for after it",
    layouts: ["native"],
    options: { segmentBytesMax: 4096, checkpoint: { everyEvents: 4 } },
    async run(driver) {
      await driver.open();
      for (let i = 0; i < 9; i++) {
        await driver.append(`entity:${i % 2}`, { padBytes: 700, ...(i % 3 === 0 ? { idempotencyKey: `key:${i}` } : {}) });
      }
      await driver.batch(["entity:0", "b", "entity:1"], 900, true);
      await driver.batch(["b", "c", "b"], 500);
      await driver.append("c", { padBytes: 900 });
      await driver.close();
      await driver.compact(({ attempt }) => attempt % 4 === 1);
      await driver.retryAll();
      await driver.append("b");
      await driver.close();
      // What is compacted once is compacted again: merged segments, and removals recorded already.
      await driver.compact(({ attempt }) => attempt > 6);
      await driver.retryAll();
      await driver.close();
    },
  },
  {
    name: "compaction that is killed, and appends after it",
    layouts: ["native"],
    options: { segmentBytesMax: 4096, checkpoint: false },
    async run(driver) {
      await driver.open();
      for (let i = 0; i < 8; i++) await driver.append(`entity:${i % 2}`, { padBytes: 800, idempotencyKey: `key:${i}` });
      await driver.close();
      await driver.dieInCompaction(({ attempt }) => attempt % 2 === 1, 14);
      await driver.retryAll();
      await Promise.all([driver.append("entity:0"), driver.batch(["entity:1", "new"], 900)]);
      await driver.close();
    },
  },
  {
    name: "index blocks that a kill has cut short",
    layouts: ["native"],
    options: { segmentBytesMax: 4096, checkpoint: false },
    async run(driver) {
      await driver.open();
      for (let i = 0; i < 3; i++) await driver.append(`entity:${i}`, { padBytes: 1100 });
      // The segment is sealed with this one, and its block is being written beside it.
      await driver.dieAndReopen([driver.append("a", { padBytes: 1500 }), driver.append("b", { padBytes: 1500 })]);
      for (let i = 0; i < 3; i++) await driver.append(`entity:${i}`, { padBytes: 1100 });
      await driver.close();
      await driver.open();
      await driver.append("a");
      await driver.close();
    },
  },
  {
    name: "the lock, given and taken by one process after another",
    options: { segmentBytesMax: 64 * 1024, checkpoint: false },
    async run(driver) {
      await driver.open();
      await driver.append("a");
      await driver.refused();
      await driver.dieAndReopen();
      await driver.append("a");
      await driver.close();
      await driver.open();
      await driver.refused();
      await driver.append("b");
      await driver.dieAndReopen([driver.append("b")]);
      await driver.close();
    },
  },
  {
    name: "a consumer's commits",
    options: { segmentBytesMax: 4096, durability: "os", checkpoint: { everyEvents: 4 } },
    async run(driver) {
      await driver.open();
      for (let i = 0; i < 5; i++) {
        await driver.append("a", { padBytes: 800 });
        if (i % 2 === 0) await driver.commit("mailer");
      }
      await driver.close();
      await driver.open();
      await Promise.all([driver.commit("mailer"), driver.append("b")]);
      await driver.commit("mailer");
      await driver.close();
    },
  },
  {
    name: "a copy of the open store, and a compaction of what it shares",
    layouts: ["native"],
    options: { segmentBytesMax: 4096, checkpoint: { everyEvents: 4 } },
    async run(driver) {
      await driver.open();
      for (let i = 0; i < 8; i++) await driver.append(`entity:${i % 2}`, { padBytes: 800 });
      await Promise.all([driver.copy(), driver.append("b"), driver.append("a", { padBytes: 1200 })]);
      await driver.close();
      await driver.compact(({ attempt }) => attempt % 3 === 0);
      await driver.copy();
      await driver.append("b");
      await driver.close();
    },
  },
];
