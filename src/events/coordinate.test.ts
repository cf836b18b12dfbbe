import assert from "node:assert/strict";
import { test } from "node:test";
import { assertCoordinate } from "./coordinate.ts";

test("good coordinates pass", () => {
  for (const [entity, scope] of [
    ["player:alice", "room:dungeon"],
    ["a", "b"],
    ["x".repeat(1024), "é".repeat(512)],
    ["🦇".repeat(256), "_batpak"],
  ]) {
    assert.equal(assertCoordinate({ entity, scope }, "append"), undefined);
  }
});

test("bad coordinates are refused with what is so and what is allowed", () => {
  const bad: [unknown, RegExp][] = [
    [null, /the coordinate is null, \{ entity, scope \} is allowed/],
    ["a", /the coordinate is "a"/],
    [{}, /the entity is undefined, text is allowed/],
    [{ entity: "a" }, /the scope is undefined/],
    [{ entity: "", scope: "s" }, /the entity is empty, 1 to 1024 UTF-8 bytes are allowed/],
    [{ entity: "a", scope: "" }, /the scope is empty/],
    [{ entity: "x".repeat(1025), scope: "s" }, /the entity takes 1025 bytes/],
    [{ entity: "é".repeat(513), scope: "s" }, /the entity takes 1026 bytes/],
    [{ entity: "a", scope: "\ud800" }, /the scope holds a lone surrogate/],
    [{ entity: "_batpak", scope: "s" }, /the entity is _batpak/],
    [{ entity: 5, scope: "s" }, /the entity is 5, text/],
  ];
  for (const [coordinate, message] of bad) {
    assert.throws(
      () => assertCoordinate(coordinate, "append"),
      (error: Error & { code?: string }) =>
        error.code === "INVALID_ARGUMENT" && error.message.startsWith("Cannot append: ") && message.test(error.message),
    );
  }
});
