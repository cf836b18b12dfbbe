// More of what `scripts/mutations.mjs` breaks: the batpak 0.3 log, directories, index blocks, compaction, copies, consumers.

const WRITER03 = "src/log/batpak03-segment-writer.ts";
const RECOVER03 = "src/recover-batpak03.ts";
const SNAPSHOT = "src/store-snapshot.ts";
const COMPACTION = "src/compacting.ts";

const leftOut = (what, file, from, to, ...suites) => ({ name: `sync left out: ${what}`, file, edits: [[from, to]], suites });

/** @type {{ name: string, file: string, edits: [string, string][], suites: string[] }[]} */
export const others = [
  leftOut(
    "a commit of the 0.3 layout",
    WRITER03,
    "write(bytes, 0, length, position, durable);",
    "write(bytes, 0, length, position, false);",
    "0.3, single appends",
  ),
  leftOut(
    "a new 0.3 segment's header",
    WRITER03,
    "await file.write(header, 0, header.length, 0, false);\n    await file.sync();",
    "await file.write(header, 0, header.length, 0, false);",
    "0.3, os durability",
    "0.3, single appends",
  ),
  leftOut("a new 0.3 segment's name", WRITER03, "await disk.syncDirectory(directory);", "", "0.3, single appends"),
  leftOut("store.sync() in the 0.3 layout", WRITER03, "await this.#file.sync();", "", "0.3, os durability"),
  leftOut(
    "a 0.3 segment with its footer, before the next one is made",
    WRITER03,
    "      position += part.length;\n    }\n    await file.sync();",
    "      position += part.length;\n    }",
    "0.3, os durability",
  ),
  leftOut(
    "the mark, before anything is in the 0.3 segment that it names",
    "src/log/batpak03-log-writer.ts",
    "    await mark.sync();",
    "",
    "0.3, single appends",
    "0.3, killed",
    "0.3, os durability",
  ),
  leftOut(
    "what recovery of a 0.3 log keeps, where no mark speaks of it",
    RECOVER03,
    "    await writeAgain(disk, files, segmentId);\n    return null;",
    "    return null;",
    "0.3, unsynced",
    "0.3, killed",
    "names",
  ),
  {
    name: "recovery: what no mark speaks of in a 0.3 log is synced and not written again",
    file: RECOVER03,
    edits: [
      [
        "settleTail(disk, files.directory, file, 0, await file.size())",
        "settleTail(disk, files.directory, file, await file.size(), await file.size())",
      ],
    ],
    suites: ["0.3, unsynced"],
  },
  {
    name: "disk: a sync succeeds beside one that failed",
    file: "src/disk/descriptor-syncs.ts",
    edits: [["    await Promise.all(this.#underWay);\n", ""]],
    suites: ["node disk"],
  },
  leftOut(
    "older segments that the original left, before they are shown",
    RECOVER03,
    "await syncOlder(disk, parts, own?.syncedSegment ?? 0);",
    "void syncOlder;",
    "0.3, taken over",
  ),
  leftOut(
    "what a reader links of a 0.3 store",
    SNAPSHOT,
    "if (this.#mayBeUnsynced) await syncFile(this.#disk, to);",
    "void (this.#mayBeUnsynced && this.#sync);",
    "0.3, taken over",
  ),
  leftOut("the log before its 0.3 checkpoint", "src/batpak03-engine.ts", "    await this.log.sync();\n    try {", "    try {", "names"),
  leftOut("what a store closes with", "src/native-engine.ts", "      await this.log.sync();", "", "names"),
  leftOut(
    "the directory above one that was found",
    "src/disk/make-directories.ts",
    "await verbs.syncDirectory(above);",
    "",
    "acknowledgement",
  ),
  leftOut(
    "the log before a consumer's position",
    "src/consuming.ts",
    'await access.assertWritable("commit").log.sync();',
    "",
    "crash, a consumer",
    "consumer",
  ),
  leftOut(
    "a consumer's record",
    "src/subscriptions/consumer-file.ts",
    "(content.turn & 1) * CONSUMER_SLOT_BYTES, true)",
    "(content.turn & 1) * CONSUMER_SLOT_BYTES, false)",
    "consumer",
  ),
  {
    name: "a consumer's record is written over the one in force",
    file: "src/subscriptions/consumer-file.ts",
    edits: [["(content.turn & 1) * CONSUMER_SLOT_BYTES", "0"]],
    suites: ["consumer, its file"],
  },
  leftOut(
    "a consumer's position that is removed",
    "src/subscriptions/consumer-file.ts",
    "await this.#disk.syncDirectory(this.#folder);",
    "",
    "names",
  ),
  leftOut(
    "the index block of a merged segment, before it gets its name",
    "src/log/block-files.ts",
    "      await file.write(end, 0, end.length, at, false);\n      at += end.length;\n      end = piece;\n    }\n    await file.sync();\n    await file.write(end, 0, end.length, at, false);\n    await file.sync();",
    "      await file.write(end, 0, end.length, at, false);\n      at += end.length;\n      end = piece;\n    }\n    await file.write(end, 0, end.length, at, false);",
    "names",
  ),
  leftOut(
    "the names of a copy's segments",
    SNAPSHOT,
    "if (segments.length > 1) await this.#disk.syncDirectory(this.#target);",
    "",
    "snapshot",
    "crash, copies",
  ),
  leftOut(
    "the name of a copy's oldest segment",
    SNAPSHOT,
    "await this.#name(first.id);\n    await this.#disk.syncDirectory(this.#target);",
    "await this.#name(first.id);",
    "names",
    "crash, copies",
    "snapshot",
  ),
  {
    name: "order: a conversion's target gets its name before it is compared",
    file: "src/convert.ts",
    edits: [
      [
        "        const entities = await this.#compare(source, work);\n",
        "        await this.#disk.rename(work.path, this.#target);\n        const entities = await this.#compare(source, work);\n",
      ],
      [
        "        await this.#disk.rename(work.path, this.#target);\n        await this.#disk.syncDirectory",
        "        await this.#disk.syncDirectory",
      ],
    ],
    suites: ["changes"],
  },
  leftOut(
    "the name of a merged segment that a killed compaction gave, before what it replaces is removed",
    "src/recover-native.ts",
    'if (log.route !== "checkpoint" && log.index.segments.some(({ generation }) => generation > 0)) await disk.syncDirectory(directory);',
    "",
    "killed makers",
  ),
  {
    name: "recovery: a log without a mark passes for one that its writer has closed",
    file: "src/recover-native.ts",
    edits: [["if (marked && provenSynced >= end", "if ((marked || true) && provenSynced >= end"]],
    suites: ["killed makers"],
  },
  leftOut(
    "the name that a killed conversion gave its target",
    "src/open-store.ts",
    "listing.segmentIds.length === 0 || listing.converted",
    "listing.segmentIds.length === 0",
    "changes",
  ),
  {
    name: "conversion: a store that somebody goes on with may still be cleared",
    file: "src/open-store.ts",
    edits: [["if (listing.unfinished && !isConverting) await endConversion(disk, directory);", ""]],
    suites: ["changes"],
  },
  {
    name: "recovery: a torn tail is cut, and not kept aside",
    file: "src/recover-native.ts",
    edits: [
      ["const keptIn = await keepAside(disk, directory, segmentId, file, end, cutBytes);", 'const keptIn = "nowhere"; void keepAside;'],
    ],
    suites: ["kept aside"],
  },
  {
    name: "recovery: what is kept aside of a torn tail has its name from the start",
    file: "src/log/recovery.ts",
    edits: [
      [
        "await replaceFile(disk, directory, name, (target) => copyRange(source, from, target, 0, Math.min(length, KEPT_BYTES_MAX)));",
        'void replaceFile; const target = await disk.open(join(directory, name), "create"); await copyRange(source, from, target, 0, Math.min(length, KEPT_BYTES_MAX)); await target.sync(); await target.close(); await disk.syncDirectory(directory);',
      ],
    ],
    suites: ["recovery on a full disk"],
  },
  {
    name: "compaction: a merged segment is of the generation before",
    file: COMPACTION,
    edits: [["generation: log.generation + 1,", "generation: log.generation,"]],
    suites: ["compacting", "crash, compaction"],
  },
  {
    name: "poison: a segment is made behind a seal whose sync failed beside it",
    file: "src/log/log-writer.ts",
    // Guarded twice: as the seal is written, and as the turn goes on.
    edits: [
      ["await this.#syncer.underWay;\n    this.queue.assertSound();\n", ""],
      ["    await this.#parts.mayTurn();\n    this.queue.assertSound();\n", "    await this.#parts.mayTurn();\n"],
    ],
    suites: ["turning"],
  },
  {
    name: "poison: a segment is made behind a 0.3 footer whose sync failed beside it",
    file: "src/log/batpak03-log-writer.ts",
    edits: [
      ["await this.#syncer.underWay;\n    this.queue.assertSound();\n", ""],
      ["    await this.sealActive(segment);\n    this.queue.assertSound();\n", "    await this.sealActive(segment);\n"],
    ],
    suites: ["turning"],
  },
  {
    name: "poison: a checkpoint pictures what a failed commit left",
    file: "src/native-engine.ts",
    edits: [["this.log.queue.assertSound();\n    if (this.log.queue.flying.length > 0) {", "if (this.log.queue.flying.length > 0) {"]],
    suites: ["checkpoints asked for"],
  },
  {
    name: "close: a checkpoint that was asked for is not waited for",
    file: "src/native-engine.ts",
    edits: [["this.#asked.add(asked);", ""]],
    suites: ["checkpoints asked for"],
  },
  {
    name: "lists: rows behind those that are listed are left out",
    file: "src/index/listed-cursor.ts",
    edits: [["return first < this.#range.end ? [this.#scan({ ...this.#range, first })] : [];", "return [];"]],
    suites: ["lists of rows"],
  },
  {
    name: "lists: verify does not look at them",
    file: "src/log/verify-index.ts",
    edits: [["if (index.lists !== null) await this.#compareLists(index, index.lists, rest);", ""]],
    suites: ["lists of rows"],
  },
  {
    name: "waking: correlations and causes are not noted",
    file: "src/log/log-writer.ts",
    edits: [["if (newest?.awaitsLinks === true) noteLinks(newest, view, kernel.offsets[frame]);", ""]],
    suites: ["waking"],
  },
  {
    name: "consumer: a reset passes the batches that move its position",
    file: "src/subscriptions/consumer.ts",
    edits: [["|| this.#moving.size > 0", ""]],
    suites: ["batches that move a position"],
  },
  {
    name: "reading: a slow disk is waited for at each block",
    file: "src/log/frame-loader.ts",
    edits: [["if (isSlow) this.#awaitedBlocks = this.#awaitedAfterSlow;", ""]],
    suites: ["slow disk"],
  },
  {
    name: "repair: heads do not know removed events behind them",
    file: "src/native-engine.ts",
    edits: [['if (log.route !== "checkpoint") await inSteps(passRemovedHeads(log.index, parts.files, parts.frames));', ""]],
    suites: ["heads after repairs"],
  },
  {
    name: "open: a checkpoint beside an older copy of a segment is used",
    file: "src/log/segment-entry.ts",
    edits: [["outcome.header.segmentId !== id || outcome.header.generation === generation", "outcome.header.segmentId !== 0"]],
    suites: ["checkpoint"],
  },
];
