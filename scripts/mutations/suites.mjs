// The parts of the tests that mutations are tried on, each a few seconds long.

export const suites = {
  acknowledgement: { files: ["test/crash/acknowledgement.test.ts"] },
  "crash, single appends": enumeration("single appends"),
  "crash, groups": enumeration("group commits"),
  "crash, batches": enumeration("batches over"),
  "crash, os durability": enumeration("os durability"),
  "crash, killed": enumeration("killed"),
  "crash, checkpoints": enumeration("checkpoints asked"),
  "crash, rotation": enumeration("rotation without"),
  "crash, compaction": enumeration("compaction, and"),
  "crash, a consumer": enumeration("a consumer"),
  "crash, copies": enumeration("a copy"),
  "0.3, single appends": enumeration03("single appends"),
  "0.3, os durability": enumeration03("os durability"),
  "0.3, killed": enumeration03("killed"),
  "0.3, unsynced": { files: ["test/crash/batpak03-unsynced.test.ts"] },
  "node disk": { files: ["src/disk/node-disk.test.ts"] },
  "0.3, checkpoints": enumeration03("checkpoints asked"),
  "0.3, taken over": { files: ["test/crash/takeover.test.ts"] },
  poison: { files: ["test/crash/poison.test.ts"] },
  syncs: { files: ["src/log/log-syncer.test.ts"] },
  "poisoned turn": { files: ["test/crash/poisoned-turn.test.ts", "test/store/blocks-behind.test.ts"] },
  "forgiven syncs": { files: ["test/crash/forgiven-syncs.test.ts"] },
  turning: { files: ["test/crash/turning.test.ts"] },
  "checkpoints asked for": { files: ["test/store/checkpoint-asked.test.ts"] },
  "overlapping writes": { files: ["test/crash/overlapping-writes.test.ts"] },
  recovery: { files: ["test/store/recovery.test.ts"] },
  checkpoint: { files: ["test/store/checkpoint.test.ts"] },
  "replace file": { files: ["src/disk/replace-file.test.ts"] },
  lock: { files: ["src/disk/directory-lock.test.ts"] },
  "full disk": { files: ["test/crash/full-disk.test.ts"] },
  "kept aside": { files: ["test/crash/kept-aside.test.ts"] },
  model: { files: ["test/model/store-model.test.ts"] },
  changes: { files: ["test/crash/changes.test.ts"] },
  compacting: { files: ["test/crash/compacting.test.ts"] },
  "compacting, beside": { files: ["test/store/compacting.test.ts"] },
  "compacting, turns": { files: ["test/store/compacting-turns.test.ts"] },
  snapshot: { files: ["test/store/snapshot.test.ts"] },
  "snapshot, beside": { files: ["test/store/snapshot-beside.test.ts"] },
  "repairs, followed": { files: ["test/store/follow-repaired.test.ts"] },
  "heads after repairs": { files: ["src/repair-heads.test.ts"] },
  "slow disk": { files: ["test/store/slow-disk.test.ts"] },
  consumer: { files: ["test/reactions/consumer-crash.test.ts"] },
  "consumer, its file": { files: ["src/subscriptions/consumer-file.test.ts"] },
  "recovery on a full disk": { files: ["test/crash/full-recovery.test.ts"] },
  "killed makers": { files: ["test/crash/killed-makers.test.ts"] },
  names: { files: ["test/crash/names.test.ts"] },
  "projection snapshots": { files: ["test/projections/crash.test.ts"] },
  "lists of rows": { files: ["src/index/active-lists.test.ts", "test/store/verify-lists.test.ts"] },
  waking: { files: ["test/store/subscribe-load.test.ts"], pattern: "who waits for a name" },
  "batches that move a position": { files: ["src/subscriptions/consumer.test.ts"], pattern: "a reset comes behind" },
};

function enumeration(scenario) {
  return { files: ["test/crash/enumeration.test.ts"], env: { BATPAK_SCENARIO: scenario, BATPAK_CRASH_SHARE: "1" } };
}

function enumeration03(scenario) {
  return { files: ["test/crash/batpak03.test.ts"], env: { BATPAK_SCENARIO: scenario, BATPAK_CRASH_SHARE: "1" } };
}
