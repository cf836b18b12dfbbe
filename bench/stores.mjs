/** Many small stores in one process, one for each tenant say: opened for one append and closed again, and all open at once. */
import { spawnSync } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { race } from "./measure.mjs";
import { openSqlite } from "./sqlite.mjs";
import { coordinateOf } from "./workload.mjs";

const CHILD = fileURLToPath(new URL("./stores-child.mjs", import.meta.url));
const STORES = 16;
const OPEN_AT_ONCE = 200;

export async function measureStores({ batpak, dist, folder, rounds, quick }) {
  const coordinate = coordinateOf(1);
  const { rawEvent, Store } = batpak;
  let turn = 0;
  const contestants = {
    batpak: async () => {
      const store = await Store.open(path.join(folder, `tenant-${turn++ % STORES}`));
      await store.append(coordinate, rawEvent(0xf001, { cents: 100 }));
      await store.close();
      return 1;
    },
    sqlite: () => {
      const store = openSqlite(path.join(folder, `tenant-${turn++ % STORES}.db`));
      store.goOn();
      store.insert(coordinate, turn);
      store.close();
      return 1;
    },
  };
  const cycles = await race(contestants, { rounds, quick });
  const memory = {};
  for (const name of Object.keys(contestants)) {
    const { stdout, stderr } = spawnSync(process.execPath, [CHILD, dist, path.join(folder, "tenants"), name, String(OPEN_AT_ONCE)], {
      encoding: "utf8",
    });
    if (stdout === "") throw new Error(`Opening ${OPEN_AT_ONCE} stores failed: ${stderr}`);
    memory[name] = JSON.parse(stdout);
  }
  return { cycles, memory };
}
