/** Who is woken by what becomes visible: all whom it may concern, and none of those whom it cannot. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { concernOf, waitingPlaceOf } from "./newest-events.ts";
import type { RowFilter } from "./segment-index.ts";
import { SequenceGate } from "./sequence-gate.ts";
import { StoreIndex } from "./store-index.ts";

type Add = (entity: string, scope: string, kind: number) => void;

/** `add` makes an event visible, `take` only notes it, as a reader does before it shows what it has taken up. */
function emptyIndex(): { index: StoreIndex; add: Add; take: Add } {
  const index = new StoreIndex({
    loadIndex: () => assert.fail("no segment is looked at"),
    rebuildIndex: () => assert.fail("no segment is looked at"),
    hasId: () => assert.fail("no segment is looked at"),
  });
  let next = 0;
  const take: Add = (entity, scope, kind) => {
    const entityId = index.entities.intern(entity);
    const sequence = next++;
    const scopeId = index.internScope(scope, sequence);
    index.heads.ensure(entityId);
    index.heads.setVisible(entityId, sequence);
    index.newest?.note(entityId, scopeId, kind, sequence);
    index.acceptedSequence = next;
  };
  const add: Add = (...event) => {
    take(...event);
    index.visible.sequence = next;
  };
  return { index, add, take };
}

test("an event concerns those whose filters name it, and filters that name nothing of it are left alone", () => {
  const { index, add } = emptyIndex();
  add("old", "s", 1);
  const filters: Record<string, RowFilter[]> = {
    everything: [{}],
    nothing: [],
    entity: [{ entity: "a" }],
    "another entity": [{ entity: "b" }],
    "an entity and a scope": [{ entity: "a", scope: "s" }],
    "an entity and another scope": [{ entity: "a", scope: "t" }],
    scope: [{ scope: "s" }],
    "another scope": [{ scope: "t" }],
    kind: [{ kinds: [7, 9] }],
    "another kind": [{ kinds: [8] }],
    prefix: [{ entityPrefix: "z" }],
    either: [{ entity: "b" }, { scope: "s" }],
    neither: [{ entity: "b" }, { scope: "t" }],
    "one that was there": [{ entity: "old" }],
  };
  const concerns = Object.entries(filters).map(([name, filter]) => ({ name, concern: concernOf(index, () => filter, 0) }));
  const concerned = (): string[] => concerns.filter(({ concern }) => concern()).map(({ name }) => name);
  assert.deepEqual(concerned(), ["everything", "prefix"], "before anything came");
  add("a", "s", 9);
  const named = ["everything", "entity", "an entity and a scope", "scope", "kind", "prefix", "either"];
  assert.deepEqual(concerned(), named);
  add("b", "t", 8);
  // Of the first event's entity and the second's scope there is no event, but that takes a look.
  assert.deepEqual(
    concerned(),
    Object.keys(filters).filter((name) => name !== "nothing" && name !== "one that was there"),
  );
  add("old", "u", 1);
  assert(concerned().includes("one that was there"));
});

test("what is behind the asker's place only counts", () => {
  const { index, add } = emptyIndex();
  const concern = concernOf(index, () => [{ scope: "s" }], 2);
  const entity = concernOf(index, () => [{ entity: "a", kinds: [1] }], 2);
  for (let sequence = 0; sequence <= 2; sequence++) {
    add("a", "s", 1);
    assert.deepEqual([concern(), entity()], [false, false]);
  }
  add("a", "s", 1);
  assert.deepEqual([concern(), entity()], [true, true]);
});

// Found by reading: the first to wait in a reader could come between the frames that a look takes up and the end of that look.
test("what came before anything was noted may concern whoever stands before it", () => {
  const { index, add } = emptyIndex();
  add("a", "s", 1);
  add("b", "t", 2);
  const before = concernOf(index, () => [{ scope: "s" }], 0);
  const behind = concernOf(index, () => [{ scope: "s" }], 1);
  add("b", "t", 2);
  assert.deepEqual([before(), behind()], [true, false]);
});

test("filters are asked for anew, and more scopes come than there was room for", () => {
  const { index, add } = emptyIndex();
  let filters: RowFilter[] = [];
  const concern = concernOf(index, () => filters, -1);
  for (let scope = 0; scope < 1000; scope++) add("a", `s:${scope}`, 5);
  assert.equal(concern(), false);
  filters = [{ scope: "s:999", kinds: [5] }];
  assert.equal(concern(), true);
  filters = [{ scope: "s:1000" }];
  assert.equal(concern(), false);
});

test("of those who wait for one entity or one scope only these are asked whose events came", () => {
  const { index, add } = emptyIndex();
  const gate = new SequenceGate();
  add("a", "s", 1);
  let asked = 0;
  const told: string[] = [];
  const wait = (name: string, filters: RowFilter[], after: number): (() => void) => {
    const concern = concernOf(index, () => filters, after);
    const concerns = (): boolean => {
      asked++;
      return concern();
    };
    return gate.onNext(() => told.push(name), concerns, waitingPlaceOf(index, filters, filters.length, after));
  };
  const tell = (): string[] => {
    gate.tell(index.newest?.takeTouched());
    return told.splice(0).sort();
  };
  for (let other = 0; other < 1000; other++) {
    wait(`other ${other}`, [{ entity: `other:${other}` }], 0);
    wait(`scope ${other}`, [{ scope: `scope:${other}`, kinds: [1] }], 0);
  }
  wait("a", [{ entity: "a" }], 0);
  wait("a in s", [{ entity: "a", scope: "s" }], 0);
  wait("a of kind 9", [{ entity: "a", kinds: [9] }], 0);
  wait("either", [{ entity: "a" }, { entity: "late" }], 0);
  wait("any of all", [{ entity: "a" }, { timeFrom: 1 }], 0);
  const lates = [wait("late", [{ entity: "late" }], 0), wait("late too", [{ entity: "late" }], 0)];
  wait("in t", [{ scope: "t" }], 0)();
  assert.deepEqual([tell(), asked], [["any of all"], 1], "nothing came: who waits for any event is asked, and it cannot be told");
  asked = 0;
  add("a", "t", 1);
  assert.deepEqual([tell(), asked], [["a", "either"], 4], "who waits at several names is asked once");
  // A name that comes into being is found by those who waited for it, those who come after that among them.
  asked = 0;
  lates[1]();
  add("b", "t", 1);
  add("late", "scope:7", 1);
  wait("late again", [{ entity: "late" }], 2);
  assert.deepEqual([tell(), asked], [["late", "late again", "scope 7"], 3]);
  add("late", "u", 1);
  wait("behind", [{ entity: "late" }], 4);
  assert.deepEqual(tell(), []);
  add("late", "u", 1);
  assert.deepEqual(tell(), ["behind"]);
  gate.open();
  assert.equal(told.length, 1000 + 999 + 2);
  assert.equal(gate.waiting, 0);
  add("other:5", "scope:5", 1);
  assert.deepEqual(index.newest?.takeTouched(), [], "nobody is left behind");
});

test("of those who wait for a correlation or a cause only these are asked whose events came", () => {
  const { index, add } = emptyIndex();
  const gate = new SequenceGate();
  add("a", "s", 1);
  const told: string[] = [];
  const wait = (name: string, filter: RowFilter): (() => void) =>
    gate.onNext(
      () => told.push(name),
      concernOf(index, () => [filter], 0),
      waitingPlaceOf(index, [filter], 1, 0),
    );
  const tell = (): string[] => {
    gate.tell(index.newest?.takeTouched());
    return told.splice(0).sort();
  };
  assert.equal(index.newest?.awaitsLinks ?? false, false);
  for (let tag = 100; tag < 200; tag++) wait(`correlation ${tag}`, { correlationTag: tag });
  const calledOff = wait("called off", { correlationTag: 1 });
  wait("one", { correlationTag: 1 });
  wait("in t", { correlationTag: 1, scope: "t" });
  wait("caused", { causationTag: 2 });
  wait("of a", { entity: "a", correlationTag: 3 });
  calledOff();
  assert.equal(index.newest?.awaitsLinks, true);
  assert.deepEqual(tell(), []);
  add("b", "s", 1);
  index.newest?.noteLinks(1, 0);
  assert.deepEqual(tell(), ["one"], "no event of the scope came");
  add("b", "t", 1);
  index.newest?.noteLinks(1, 2);
  assert.deepEqual(tell(), ["caused", "in t"]);
  add("a", "t", 1);
  index.newest?.noteLinks(150, 1);
  assert.deepEqual(tell(), ["correlation 150", "of a"]);
  gate.open();
  assert.equal(told.length, 99);
  assert.equal(index.newest?.awaitsLinks, false, "nobody is left behind");
});

test("of those who wait for names that begin so only these are asked whose events came", () => {
  const { index, add } = emptyIndex();
  const gate = new SequenceGate();
  add("a:1", "s", 1);
  const told: string[] = [];
  const wait = (name: string, ...filters: RowFilter[]): (() => void) =>
    gate.onNext(
      () => told.push(name),
      concernOf(index, () => filters, 0),
      waitingPlaceOf(index, filters, filters.length, 0),
    );
  const tell = (): string[] => {
    gate.tell(index.newest?.takeTouched());
    return told.splice(0).sort();
  };
  for (let other = 0; other < 100; other++) wait(`other ${other}`, { entityPrefix: `other:${other}:` });
  wait("any", { entityPrefix: "" });
  assert.deepEqual(tell(), [], "nothing came");
  const calledOff = wait("called off", { entityPrefix: "a:" });
  wait("a:", { entityPrefix: "a:" });
  wait("a:1", { entityPrefix: "a:1" });
  wait("a:12", { entityPrefix: "a:12" });
  wait("of kind 2", { entityPrefix: "a:", kinds: [2] });
  wait("in t", { entityPrefix: "a:", scope: "t" });
  wait("either", { entityPrefix: "日" }, { entityPrefix: "b" });
  calledOff();
  add("a:1", "s", 1);
  assert.deepEqual(tell(), ["a:", "a:1", "any"]);
  add("日本", "s", 1);
  assert.deepEqual(tell(), ["either"]);
  add("other:77:x", "s", 1);
  add("a", "s", 1);
  assert.deepEqual(tell(), ["other 77"]);
  add("a:", "t", 2);
  wait("late", { entityPrefix: "a:123" });
  assert.deepEqual(tell(), ["in t", "of kind 2"]);
  add("a:1234", "t", 2);
  assert.deepEqual(tell(), ["a:12", "late"]);
  gate.open();
  assert.equal(told.length, 99);
  add("other:5:", "s", 1);
  assert.deepEqual(index.newest?.takeTouched(), [], "nobody is left behind");
});

test("who begins to wait for what is noted and not visible yet is asked once it is", () => {
  const { index, add, take } = emptyIndex();
  const gate = new SequenceGate();
  const told: string[] = [];
  const wait = (name: string, filter: RowFilter, after: number): void => {
    gate.onNext(
      () => told.push(name),
      concernOf(index, () => [filter], after),
      waitingPlaceOf(index, [filter], 1, after),
    );
  };
  add("a", "s", 1);
  wait("early", { entity: "a" }, 0);
  take("a", "s", 1);
  wait("a", { entity: "a" }, 0);
  wait("s", { scope: "s" }, 0);
  wait("b", { entity: "b" }, 0);
  index.visible.sequence = 2;
  gate.tell(index.newest?.takeTouched());
  assert.deepEqual(told.sort(), ["a", "early", "s"]);
});

test("a gate tells those who are concerned, once, and at the end everybody", () => {
  const gate = new SequenceGate();
  const told: string[] = [];
  let concerned = false;
  gate.onNext(() => told.push("always"));
  gate.onNext(
    () => told.push("now and then"),
    () => concerned,
  );
  gate.onNext(
    () => told.push("never"),
    () => false,
  );
  const cancel = gate.onNext(() => told.push("called off"));
  cancel();
  gate.tell();
  gate.tell();
  assert.deepEqual([told.splice(0), gate.waiting], [["always"], 2]);
  concerned = true;
  // Who waits again while he is told waits for the next time.
  gate.onNext(() => gate.onNext(() => told.push("again")));
  gate.tell();
  assert.deepEqual([told.splice(0), gate.waiting], [["now and then"], 2]);
  gate.open();
  assert.deepEqual([told.sort(), gate.waiting], [["again", "never"], 0]);
});
