/** The examples: each runs to its end against this clone's src, says what it should, and compiles. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const projectRoot = path.dirname(fileURLToPath(new URL("../../package.json", import.meta.url)));
let folder: string;

before(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), "batpak-examples-"));
  const installed = path.join(folder, "node_modules", "batpak");
  mkdirSync(installed, { recursive: true });
  writeFileSync(
    path.join(installed, "package.json"),
    JSON.stringify({ name: "batpak", type: "module", exports: { ".": "./src/index.ts" } }),
  );
  symlinkSync(path.join(projectRoot, "src"), path.join(installed, "src"), "junction");
  writeFileSync(path.join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  cpSync(path.join(projectRoot, "examples"), path.join(folder, "examples"), { recursive: true });
});

after(() => rmSync(folder, { recursive: true, force: true }));

/** What the example prints. */
function run(name: string): string {
  const main = path.join("examples", name, "main.ts");
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--import", import.meta.resolve("tsx"), main], {
    cwd: folder,
    encoding: "utf8",
    timeout: 60_000,
  });
  assert.equal(status, 0, stderr + stdout);
  assert.equal(stderr, "");
  return stdout;
}

describe("the examples", () => {
  test("orders: commands over HTTP, each done once; the projection agrees", () => {
    const said = run("orders");
    assert.match(said, /pay 507: 409 .*costs 3800 cents/);
    const payments = [...said.matchAll(/pay 507: 200 (.*)/g)].map(([, body]) => body);
    assert.equal(payments.length, 2);
    assert.equal(payments[0], payments[1], "sent twice, paid once");
    assert.match(said, /1 shipped, 9 refused/);
    assert.match(said, /GET \/orders\/507: 200 \{"status":"shipped","cents":3800\}/);
    assert.match(said, /GET \/orders\/509: 404/);
    assert.match(said, /GET \/sales: 200 \{"placed":2,"cancelled":1,"shipped":1,"revenueCents":3800,"pieces":\{"tea":4,"pot":1\}\}/);
    assert.match(said, /order 507: 0 OrderPlaced, 1 OrderPaid, 2 OrderShipped/);
  });

  test("audit: the log verifies, the changed copy does not, and the place is told", () => {
    const said = run("audit");
    const [kept, changed] = said.split("A copy in which");
    assert.match(kept, /24 events of 4 patients: all as they were written/);
    assert.match(changed, /NOT as they were written/);
    assert.match(changed, /FRAME_DAMAGED \(segment 1, offset \d+\)/);
    assert.match(changed, /23 events are whole; damaged: sequence \d+/);
  });

  test("agent: the tree of causes, and why something happened", () => {
    const said = run("agent");
    assert.match(said, /^ {2}run:2041 {2}asked: How high/m);
    assert.match(said, /^ {20}run:2041 {2}finished: About 9,718 feet\.$/m);
    assert.match(said, /called atlas\(Zugspitze\)\n {2}because thought: .*\n {2}because failed: timeout.*\n {2}because called search/);
    assert.match(said, /3 calls, 1 failed, 283 tokens/);
  });

  test("compile, strictly", () => {
    const compiler = path.join(projectRoot, "node_modules/typescript/bin/tsc");
    const { status, stdout } = spawnSync(process.execPath, [compiler, "-p", path.join(projectRoot, "examples")], { encoding: "utf8" });
    assert.equal(status, 0, stdout);
  });

  test("are commands of package.json", () => {
    const { scripts } = JSON.parse(readFileSync(path.join(projectRoot, "package.json"), "utf8")) as { scripts: Record<string, string> };
    for (const name of ["orders", "audit", "agent"]) {
      assert.equal(scripts[`example:${name}`], `node --import tsx examples/${name}/main.ts`);
    }
  });
});
