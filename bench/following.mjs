/** What comes after an event: commands decided on it, consumers' positions, those who wait for others, and other processes. */
import { fork, spawnSync } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { race } from "./measure.mjs";

const CHILD = fileURLToPath(new URL("./following-child.mjs", import.meta.url));
const CALLERS = 64;
const EACH = 20;
const WAITING = 10_000;

export async function measureFollowing({ batpak, dist, folder, rounds, quick }) {
  const directory = path.join(folder, "following");
  const store = await batpak.Store.open(directory);
  const commands = await measureCommands(batpak, store, { rounds, quick });
  const positions = await measurePositions(batpak, store, { rounds, quick });
  const followedMs = await measureFollower(batpak, store, dist, directory, quick ? 50 : 300);
  await store.close();
  const firstMs = Array.from({ length: rounds }, () => {
    const { stdout, stderr } = spawnSync(process.execPath, [CHILD, dist, directory, "append"], { encoding: "utf8" });
    if (stdout === "") throw new Error(`Appending to ${directory} failed: ${stderr}`);
    return JSON.parse(stdout);
  });
  return { commands, positions, waiting: await measureWaiting(batpak, folder, { rounds, quick }), followedMs, firstMs };
}

/** The same events, decided and appended, and only appended. */
async function measureCommands({ defineDecider, defineEvent }, store, how) {
  const Paid = defineEvent("Paid");
  const Account = defineDecider({
    events: [Paid],
    initial: { cents: 0 },
    decide: ({ cents }) => Paid({ cents }),
    evolve: { Paid: (state, event) => ({ cents: state.cents + event.data.cents }) },
  });
  const callers = async (call) => {
    await Promise.all(
      Array.from({ length: CALLERS }, async (_, caller) => {
        for (let i = 0; i < EACH; i++) await call(caller);
      }),
    );
    return CALLERS * EACH;
  };
  return await race(
    {
      handle: () => callers((caller) => store.handle({ entity: `account:${caller}`, scope: "bank" }, Account, { cents: 1 })),
      append: () => callers((caller) => store.append({ entity: `plain:${caller}`, scope: "bank" }, Paid({ cents: 1 }))),
    },
    how,
  );
}

/** A consumer that commits after each event, where its position is kept in a file and where it is kept in the log. */
async function measurePositions({ rawEvent }, store, how) {
  const coordinate = { entity: "consumed", scope: "consumed" };
  const [{ sequence }] = await store.append(
    coordinate,
    Array.from({ length: 1000 }, (_, n) => rawEvent(0xf001, n)),
  );
  const contestant = async (positionIn) => {
    const consumer = await store.consumer(`in the ${positionIn}`, undefined, { positionIn });
    return async () => {
      await consumer.reset(sequence);
      for (let n = 1; n <= 100; n++) await consumer.commit(sequence + n);
      return 100;
    };
  };
  const append = async () => {
    for (let n = 0; n < 100; n++) await store.append(coordinate, rawEvent(0xf001, n));
    return 100;
  };
  return await race({ file: await contestant("file"), log: await contestant("log"), append }, how);
}

/** Appends beside subscriptions that wait for other entities, without syncs: the processor's work is most of what there is. */
async function measureWaiting({ rawEvent, Store }, folder, how) {
  const contestant = async (waiting) => {
    const store = await Store.open(path.join(folder, `waiting-${waiting}`), { durability: "os" });
    for (let n = 0; n < waiting; n++)
      void store
        .subscribe({ entity: `nobody:${n}` })
        [Symbol.asyncIterator]()
        .next();
    const append = async () => {
      for (let n = 0; n < 100; n++) await store.append({ entity: `e:${n}`, scope: "s" }, rawEvent(0xf001, n));
      return 100;
    };
    return { store, append };
  };
  const [alone, beside] = [await contestant(0), await contestant(WAITING)];
  const rates = await race({ alone: alone.append, beside: beside.append }, how);
  await Promise.all([alone.store.close(), beside.store.close()]);
  return rates;
}

/** From the call of an append to a subscriber of another process, in milliseconds. */
async function measureFollower({ rawEvent }, store, dist, directory, count) {
  const child = fork(CHILD, [dist, directory, "follow"]);
  await once(child, "message");
  const milliseconds = [];
  for (let n = 0; n < count; n++) {
    const told = once(child, "message");
    await store.append({ entity: "followed", scope: "followed" }, rawEvent(0xf001, { calledMs: Number(process.hrtime.bigint()) / 1e6 }));
    milliseconds.push((await told)[0]);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  child.kill();
  await once(child, "exit");
  return milliseconds;
}
