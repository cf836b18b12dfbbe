// What `scripts/mutations.mjs` breaks, and which tests must notice. A text is replaced exactly as it stands in the file.

import { others } from "./others.mjs";

const WRITER = "src/log/segment-writer.ts";
const RECOVERY = "src/log/recovery.ts";
const SETTLE = "src/recover-native.ts";
const QUEUE = "src/log/commit-queue.ts";
const REPLACE = "src/disk/replace-file.ts";
const RANGE = "src/log/range-commit.ts";

/**
 * Syncs that have no mutation, since leaving them out loses nothing: that of zeros laid out ahead and that of the 0.3 mark once a second
 * (`segment-writer`, `batpak03-log-writer`: they make later syncs cheap, and damage easier to tell from a torn tail); that of a 0.3 store's
 * closing, which its footer's sync covers; that of the name of the checkpoint that a compaction removes, whose generation gives it away; that of a
 * repair's folder of copies, whose making syncs its name.
 *
 * @type {{ name: string, file: string, edits: [string, string][], suites: (keyof typeof import("./suites.mjs").suites)[] }[]}
 */
export const mutations = [
  // Writes that overlap.
  {
    name: "overlap: acknowledged before what stands before it is written",
    file: QUEUE,
    edits: [
      ["count < this.#flying.length && this.#flying[count].isWritten", "count < this.#flying.length"],
      ["if (this.#flying[0] === group) this.#settle();", "this.#settle();"],
    ],
    suites: ["overlapping writes"],
  },
  {
    name: "overlap: frames say that all before their group was synced",
    file: "src/log/native-placer.ts",
    edits: [["group.baseOffset - this.#parts.syncedOffset(group.segment.id)", "0"]],
    suites: ["overlapping writes"],
  },
  {
    name: "overlap: beside the making of a segment",
    file: "src/log/log-writer.ts",
    edits: [["if (!this.#syncsCommits || group.opensSegment || group.segment.id !== this.#parts.segments.segmentId) return false;", ""]],
    suites: ["overlapping writes"],
  },
  ...others,
  // Syncs left out.
  {
    name: "sync left out: a commit into zeros that are there is written and not synced",
    file: WRITER,
    edits: [[": file.write(bytes, 0, length, position, durable)", ": file.write(bytes, 0, length, position, false)"]],
    suites: ["acknowledgement"],
  },
  {
    name: "sync left out: a commit is written and not synced",
    file: WRITER,
    edits: [["await file.write(bytes, 0, length, position, durable)", "await file.write(bytes, 0, length, position, false)"]],
    suites: ["acknowledgement"],
  },
  {
    name: "sync left out: a new segment's header",
    file: WRITER,
    edits: [["0, SEGMENT_HEADER.bytes, 0, false);\n    await file.sync();", "0, SEGMENT_HEADER.bytes, 0, false);"]],
    suites: ["crash, os durability", "full disk"],
  },
  {
    name: "sync left out: a new segment's name",
    file: WRITER,
    edits: [["await this.#disk.syncDirectory(this.#files.directory);", ""]],
    suites: ["acknowledgement"],
  },
  {
    name: "a failed sync of the directory is forgotten",
    file: "src/disk/failed-directory-syncs.ts",
    edits: [["failure ??= { error };", "void failure;"]],
    suites: ["forgiven syncs"],
  },
  {
    name: "sync left out: a sealed segment, before the next one is made",
    file: WRITER,
    edits: [["await file.truncate(this.#writtenTo);\n    await file.sync();", "await file.truncate(this.#writtenTo);"]],
    suites: ["crash, os durability"],
  },
  {
    name: "sync left out: store.sync()",
    file: WRITER,
    edits: [["this.#syncing = this.#open().sync();", "this.#syncing = Promise.resolve();"]],
    suites: ["acknowledgement"],
  },
  {
    name: "sync left out: the parents of a new directory",
    file: "src/disk/make-directories.ts",
    edits: [["await verbs.syncDirectory(parent);", ""]],
    suites: ["acknowledgement"],
  },
  {
    name: "sync left out: a directory that was there already, made by a process that was killed",
    file: "src/open-store.ts",
    edits: [["if (listing.segmentIds.length === 0 || listing.converted) await disk.makeDirectory(directory);", ""]],
    suites: ["acknowledgement"],
  },
  {
    name: "sync left out: the temporary file of a checkpoint",
    file: REPLACE,
    edits: [["else await writePieces(file, content);\n    await file.sync();", "else await writePieces(file, content);"]],
    suites: ["replace file", "kept aside"],
  },
  {
    name: "sync left out: the directory after a rename",
    file: REPLACE,
    edits: [["await disk.syncDirectory(directory);", ""]],
    suites: ["replace file"],
  },
  {
    name: "sync left out: the log before its checkpoint",
    file: "src/checkpoint/checkpointer.ts",
    edits: [["await this.#parts.sync();", ""]],
    suites: ["acknowledgement"],
  },
  {
    name: "sync left out: what recovery keeps",
    file: RECOVERY,
    edits: [["await file.truncate(end);\n  await file.sync();", "await file.truncate(end);"]],
    suites: ["crash, killed", "recovery"],
  },
  {
    name: "sync left out: the names that recovery found",
    file: RECOVERY,
    edits: [
      [
        "await file.truncate(end);\n  await file.sync();\n  await disk.syncDirectory(directory);",
        "await file.truncate(end);\n  await file.sync();",
      ],
    ],
    suites: ["crash, single appends", "crash, rotation"],
  },
  // The wrong order.
  {
    name: "order: a rename before the sync of what is renamed",
    file: REPLACE,
    edits: [
      [
        "await putInPlace(disk, directory, name, await writeTemporary(disk, directory, name, content));",
        "const { path, file } = await createTemporary(disk, directory, name);\n  await putInPlace(disk, directory, name, path);\n  await fill(file, content);",
      ],
    ],
    suites: ["replace file"],
  },
  {
    name: "order: an append is acknowledged before its write has ended",
    file: QUEUE,
    edits: [["await this.#environment.write(group);", "this.#environment.write(group).catch(() => {});"]],
    suites: ["acknowledgement", "poison"],
  },
  {
    name: "order: the mark calls synced what is only written",
    file: WRITER,
    edits: [["    if (!durable) return;\n    this.syncedOffset = end;", "    this.syncedOffset = end;\n    if (!durable) return;"]],
    suites: ["acknowledgement"],
  },
  {
    name: "order: the cut comes before what is cut is kept aside",
    file: SETTLE,
    edits: [["    if (cutBytes > 0) {\n", "    await file.truncate(end);\n    if (cutBytes > 0) {\n"]],
    suites: ["crash, groups", "recovery"],
  },

  // After a failure.
  {
    name: "poison: a failed write is forgotten",
    file: QUEUE,
    edits: [
      [
        "    } catch (error) {\n      this.poison(error);\n",
        "    } catch (error) {\n      void error;\n      group.isWritten = true;\n      if (this.#flying[0] === group) this.#settle();\n",
      ],
    ],
    suites: ["poison"],
  },
  {
    name: "poison: nobody looks whether the store is poisoned",
    file: QUEUE,
    edits: [["if (this.#poison !== null) throw poisonedError(this.#poison.cause);", ""]],
    suites: ["poison"],
  },
  {
    name: "poison: closing lets go of the directory while something is being written",
    file: "src/native-engine.ts",
    edits: [["      await this.log.queue.written();\n", ""]],
    suites: ["poisoned turn"],
  },
  {
    name: "poison: a segment is begun after all where the store was poisoned while it waited",
    file: "src/log/log-writer.ts",
    edits: [["    await this.#parts.mayTurn();\n    this.queue.assertSound();\n", "    await this.#parts.mayTurn();\n"]],
    suites: ["poisoned turn"],
  },
  {
    name: "sync: whoever asks while one is under way gets that one",
    file: "src/log/log-syncer.ts",
    edits: [["if (before === null) return this.#begin();", "return before ?? this.#begin();"]],
    suites: ["syncs"],
  },
  {
    name: "sync: who asks between two of them begins a third beside the second",
    file: "src/log/log-syncer.ts",
    edits: [["const before = this.#next ?? this.#syncing;", "const before = this.#syncing;"]],
    suites: ["syncs"],
  },
  {
    name: "poison: a failed background sync is forgotten",
    file: "src/log/log-syncer.ts",
    edits: [["      this.#queue.poison(error);\n", ""]],
    suites: ["poison"],
  },
  {
    name: "poison: a full disk is forgiven where frames are written",
    file: WRITER,
    edits: [
      ["await file.write(bytes, 0, length, position, durable);", "await file.write(bytes, 0, length, position, durable).catch(() => {});"],
    ],
    suites: ["full disk", "poison"],
  },

  // Recovery.
  {
    name: "recovery: what is kept is not written again",
    file: RECOVERY,
    edits: [["if (from < end) await copyRange(file, from, file, from, end - from);", ""]],
    suites: ["poison"],
  },
  {
    name: "recovery: the torn tail is not cut off",
    file: RECOVERY,
    edits: [["if ((await file.size()) > end) await file.truncate(end);", ""]],
    suites: ["recovery", "crash, groups"],
  },
  {
    name: "recovery: the tail is not cut back to the last mark",
    file: "src/log/segment-scan.ts",
    edits: [
      ["if (walk.commitEnd > walked) {", "if (walk.goodEnd > walked) {"],
      ["handOut(walker, start, walk.commitEnd, base, options.visit);", "handOut(walker, start, walk.goodEnd, base, options.visit);"],
      ["start = walk.commitEnd;", "start = walk.goodEnd;"],
    ],
    suites: ["crash, batches", "recovery"],
  },
  {
    name: "recovery: a log that ends before its synced position passes for a torn tail",
    file: RECOVERY,
    edits: [["if (scan.end < provenSynced) {", "if (scan.end < 0) {"]],
    suites: ["recovery"],
  },
  {
    name: "recovery: a synced frame after a bad one proves nothing",
    file: RECOVERY,
    edits: [["if (proof >= 0)", "if (proof >= Infinity)"]],
    suites: ["recovery"],
  },
  {
    name: "recovery: a frame's CRC is not looked at",
    file: "src/log/frame-walker.ts",
    edits: [
      ["createFrameWalker(capacityBytes) ?? new", "new"],
      ["  checkFrame,\n", "  checkShape,\n"],
      [
        "const check = checkFrame(bytes, view, goodEnd, limit, crcSeed, positionBase + goodEnd);",
        "const check = checkShape(view, goodEnd, limit);",
      ],
    ],
    suites: ["recovery"],
  },
  {
    name: "recovery: a mark of another store is believed",
    file: "src/open-native.ts",
    edits: [
      [
        "if (mark === null || this.#storeId === null || !sameBytes(mark.storeId, 0, this.#storeId, 0, 16)) return null;\n    return mark.generation >= this.#generation ? mark : null;",
        "return mark;",
      ],
    ],
    suites: ["recovery"],
  },

  // Checkpoint, batches, lock.
  {
    name: "checkpoint: believed without looking at its last frame",
    file: "src/open-native.ts",
    edits: [["const last = lookAtLastFrame(files, checkpoint);", 'const last = "same" as "same" | "other" | "none";']],
    suites: ["checkpoint", "recovery"],
  },
  {
    name: "checkpoint: pictures what is accepted and not visible",
    file: "src/checkpoint/snapshot.ts",
    edits: [
      ["for (let frame = 0; frame < (open?.frames ?? 0); frame++) {", "for (let frame = 0; frame < 0 * (open?.frames ?? 0); frame++) {"],
    ],
    suites: ["crash, checkpoints", "model"],
  },
  {
    name: "batch: every frame of it bears the mark",
    file: "src/log/native-placer.ts",
    edits: [["if (last) markFrame(view, at);", "markFrame(view, at);"]],
    suites: ["crash, batches"],
  },
  {
    name: "mark: not written before an append is acknowledged",
    file: "src/log/log-writer.ts",
    edits: [
      ["    this.writeMark();\n    this.#parts.committed(frames, bytes, isQuiet);", "    this.#parts.committed(frames, bytes, isQuiet);"],
    ],
    suites: ["model"],
  },
  {
    name: "close: the mark is not synced where there is no checkpoint",
    file: "src/native-engine.ts",
    edits: [["else if (this.#schedule.isBehind) await this.#syncMark();", ""]],
    suites: ["checkpoint"],
  },
  {
    name: "close: a checkpoint is left out where too many events are behind",
    file: "src/checkpoint/schedule.ts",
    edits: [["this.#events > allowed ||", "this.#events > 2 * allowed ||"]],
    suites: ["checkpoint"],
  },
  {
    name: "lock: held by another, and taken all the same",
    file: "src/disk/directory-lock.ts",
    edits: [["if (kernelLock === null) return await describeHolder(disk, directory, file);", ""]],
    suites: ["lock"],
  },
  {
    name: "lock: claims of others are not waited for",
    file: "src/disk/directory-lock.ts",
    edits: [["if (rival !== null) return { lock: null, heldBy: rival, since: null };", ""]],
    suites: ["lock"],
  },
  {
    name: "lock: a living name in the file is not looked at",
    file: "src/disk/directory-lock.ts",
    edits: [
      ["if (record !== null && disk.isAlive(record.identity) && counts(record.identity)) {", "if (record !== null && record === null) {"],
    ],
    suites: ["lock"],
  },

  // Repair, conversion, compaction, snapshot.
  {
    name: "repair: changes before it copies",
    file: "src/repair.ts",
    edits: [
      [
        "const copies = await copyAside(disk, directory, clock, { problems, actions });\n    await applyRepair(log, plan, clock);",
        "await applyRepair(log, plan, clock);\n    const copies = await copyAside(disk, directory, clock, { problems, actions });",
      ],
    ],
    suites: ["changes"],
  },
  {
    name: "repair: mends a segment in place",
    file: "src/repair-apply.ts",
    edits: [
      [
        "await this.#replace(place.id, made);",
        "await this.#log.files.disk.remove(this.#log.files.path(place.id)).catch(() => {}); await this.#replace(place.id, made);",
      ],
    ],
    suites: ["changes"],
  },
  {
    name: "repair: the checkpoint goes last",
    file: "src/repair-apply.ts",
    edits: [
      [
        "    await this.#putCheckpointAside();\n    await this.#rebuildPlaces(false);\n",
        "    await this.#rebuildPlaces(false);\n    await this.#putCheckpointAside();\n",
      ],
    ],
    suites: ["changes"],
  },
  {
    name: "repair: what it removed may come back",
    file: "src/repair-apply.ts",
    edits: [["if (names.length > 0) await disk.syncDirectory(directory);", ""]],
    suites: ["changes"],
  },
  {
    name: "repair: what it writes anew has the generation of before",
    file: "src/repair-apply.ts",
    edits: [["generation: generation + (isNewest ? 0 : 1)", "generation"]],
    suites: ["repairs, followed"],
  },
  {
    name: "repair: the newest segment keeps its generation",
    file: "src/repair-apply.ts",
    edits: [["for (const [id, made] of newest) await this.#replace(id, inGeneration(made, this.#plan.generation + 1));", ""]],
    suites: ["repairs, followed"],
  },
  {
    name: "snapshot: a checkpoint that a compaction has overtaken",
    file: "src/store-snapshot.ts",
    edits: [["if (this.#access.parts.log.generation !== generationBefore) await this.#leaveOut(CHECKPOINT_FILE);", ""]],
    suites: ["snapshot, beside"],
  },
  {
    name: "checkpoint: rows begin where their segment does",
    file: "src/checkpoint/snapshot.ts",
    edits: [["...(rowsFrom === firstSequence ? {} : { rowsFrom }),", ""]],
    suites: ["changes"],
  },
  {
    name: "conversion: the target's name is not synced",
    file: "src/convert.ts",
    edits: [["await this.#disk.syncDirectory(dirname(this.#target));", ""]],
    suites: ["changes"],
  },
  {
    name: "conversion: written where it will be",
    file: "src/convert-directory.ts",
    edits: [["const path = `${target}.converting`;", "const path = target;"]],
    suites: ["changes"],
  },
  {
    name: "compaction: the checkpoint of before stays",
    file: RANGE,
    edits: [["if ((await disk.status(checkpoint)) !== null) await disk.remove(checkpoint);", ""]],
    suites: ["compacting"],
  },
  {
    name: "compaction: the checkpoint is removed and its directory not synced before the commit",
    file: RANGE,
    edits: [["  // Also where there is none: whoever removed it may not have come to this.\n  await syncDirectory(parts);\n", ""]],
    suites: ["compacting"],
  },
  {
    name: "compaction: what the survey leant on is not synced before the commit",
    file: "src/native-engine.ts",
    edits: [
      [
        "      await new Promise<void>((resolve) => this.gate.onNext(resolve));\n    }\n    await this.log.sync();",
        "      await new Promise<void>((resolve) => this.gate.onNext(resolve));\n    }",
      ],
    ],
    suites: ["compacting"],
  },
  {
    name: "compaction: removes what is replaced before the merged segment has its name",
    file: RANGE,
    edits: [
      [
        "  await rename(parts, range);\n  swap(parts, range);\n  await syncDirectory(parts);\n  await removeReplaced(parts, range.entries.slice(1));\n",
        "  await removeReplaced(parts, range.entries.slice(1));\n  await rename(parts, range);\n  swap(parts, range);\n  await syncDirectory(parts);\n",
      ],
    ],
    suites: ["compacting"],
  },
  {
    name: "compaction: the merged segment's name is not synced before what it replaces is removed",
    file: RANGE,
    edits: [["  swap(parts, range);\n  await syncDirectory(parts);\n", "  swap(parts, range);\n"]],
    suites: ["compacting"],
  },
  {
    name: "compaction: a checkpoint may be written across the commit",
    file: "src/native-engine.ts",
    edits: [["await this.checkpointer.exclude(work);", "await work();"]],
    suites: ["compacting, beside"],
  },
  {
    name: "compaction: the file of the old segment is held on to, frames and all",
    file: RANGE,
    edits: [["  files.forget(first.id);\n  files.unpin(first.id);\n", "  files.unpin(first.id);\n"]],
    suites: ["compacting, beside"],
  },
  {
    name: "compaction: the pages of the old block are not let go of",
    file: RANGE,
    edits: [["if (rows instanceof SealedSegmentIndex) rows.release();", "void rows;"]],
    suites: ["compacting, beside"],
  },
  {
    name: "compaction: it rests where it is time for it alone, however much was read",
    file: "src/compacting.ts",
    edits: [["this.#bytes >= BYTES_PER_REST || this.#pace.isDue", "this.#pace.isDue"]],
    suites: ["compacting, turns"],
  },
  {
    name: "compaction: reads under way are not told that the index was changed",
    file: "src/index/store-index.ts",
    edits: [['    this.visibleEvents -= removedEvents;\n    this.revision = Symbol("index");', "    this.visibleEvents -= removedEvents;"]],
    suites: ["compacting, beside"],
  },
  {
    name: "compaction: a rename that failed is taken for one that did not happen",
    file: RANGE,
    edits: [["    if (there === merged.entry.generation) return;\n", ""]],
    suites: ["compacting, beside"],
  },
  {
    name: "snapshot: what is copied is not synced",
    file: "src/disk/copy-file.ts",
    edits: [["      await target.sync();\n", ""]],
    suites: ["snapshot"],
  },
];
