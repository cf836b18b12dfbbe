/**
 * Stores that the original wrote at random, in one or more sessions that end as they like: closed, dropped, died; compacted; torn. Each is read
 * here by every route and held against what the original acknowledged, and against what it says itself; then it is verified, converted to the
 * native layout and back, and gone on with by our writer, after which the original must open it by its checkpoint and list the same.
 *
 * Where the original is known to be wrong (layout.md, "Defects"), what it acknowledged counts, not what it lists.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tsImport } from "tsx/esm/api";
import { convertStore, Store } from "../dist/index.js";

/** What the command line writes: an inner part, which the built package does not show. */
const { dumpLine } = await tsImport("../src/cli/dump-line.ts", import.meta.url);

const RUN_MS_MAX = 60_000;
const TOMBSTONE = 0x0ffe;
const TRAILER_BYTES = 16;
const SESSIONS_MAX = 4;

/** Mulberry32: draws a number below `limit`. */
function drawing(seed) {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

/** A string, or a number: numbers are compared by what they are worth, exactly, however they are written. */
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

function exact(token) {
  if (token.startsWith('"')) return token;
  if (/^-?\d+$/.test(token)) return `{"$number":"${BigInt(token)}"}`;
  const value = Number(token);
  return `{"$number":"${Number.isInteger(value) ? BigInt(value) : value}"}`;
}

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.keys(value)
    .sort()
    .map((key) => [key, sorted(value[key])]);
}

/** A line of a dump: its keys, and its payload in a form to compare. */
function rowOf(line) {
  const row = JSON.parse(line);
  const payload = JSON.parse(line.replace(TOKEN, exact)).payload;
  return { ...row, payload: payload === undefined ? undefined : JSON.stringify(sorted(payload)) };
}

const SAME = ["event_id", "correlation_id", "causation_id", "entity", "scope", "kind", "wall_ms", "clock"];
const PLACE = ["segment_id", "offset", "length"];
const HASHES = ["prev_hash", "event_hash"];

function difference(one, other, keys) {
  return keys.find((key) => one[key] !== other[key]);
}

class Trouble extends Error {}

function fail(text) {
  throw new Trouble(text);
}

const placeOf = (row) => `${row.segment_id}:${row.offset}`;

/** What the original acknowledged, and what may have become of it. */
class Truth {
  /** By place: what was given for an event. */
  events = [];
  /** Bytes were lost, or a batch was broken off, so that more than the acknowledged may be gone or there. */
  torn = false;
  uncertain = null;
  /** Compaction read past what it could not read, and deleted it. */
  jumbled = false;
  compacted = false;
  /** The newest segment before the session. */
  segmentBefore = 0;
  /** The original listed other events than are there, or in another order: what it wrote later may begin an entity's clock anew. */
  forgot = false;

  take(line) {
    if (line.event !== undefined) this.#event(line.event);
    if (line.compacting !== undefined) this.active = line.compacting.active;
    if (line.compacted !== undefined) this.#compacted(line.compacted);
  }

  #event(event) {
    // A retry of what an earlier session appended gives the first receipt.
    if (event.segment_id <= this.segmentBefore) return;
    if (this.events.some((known) => !known.moved && placeOf(known) === placeOf(event))) return;
    if (this.events.some((known) => known.event_id === event.event_id && known.global_sequence === event.global_sequence && known.moved))
      return;
    this.events.push({ ...event, moved: false });
  }

  #compacted({ strategy, removed_segments: removed, failed, kept, gone }) {
    if (failed !== null) {
      this.uncertain = `compaction failed: ${failed}`;
      return;
    }
    if (removed === 0) return;
    this.compacted = true;
    const left = new Set(kept);
    const lost = new Set(gone);
    this.events = this.events.flatMap((event) => {
      if (event.segment_id >= this.active) return [event];
      const moved = { ...event, moved: true, segment_id: 0 };
      if (strategy === "merge" || left.has(event.event_id)) return [moved];
      if (lost.has(event.event_id) && strategy === "tombstone") return [{ ...moved, kind: TOMBSTONE }];
      // Removed, or not even shown: its file is deleted either way.
      return [];
    });
    if (this.torn) this.uncertain = "compaction went over torn segments";
  }
}

async function rowsOf(directory, options = {}) {
  const store = await Store.open(directory, { readOnly: true, ...options });
  try {
    const rows = [];
    const damage = [];
    const onDamage = (error) => damage.push(error.message);
    const onUnreadable = (event, member, reason) => damage.push(`${member} of ${event.sequence}: ${reason}`);
    for await (const batch of store.readPlaced({}, { onDamage }))
      for (const placed of batch) rows.push(rowOf(dumpLine(placed, null, onUnreadable)));
    return { rows, damage, report: store.openReport };
  } finally {
    await store.close();
  }
}

function segmentsOf(directory) {
  return readdirSync(directory)
    .filter((name) => name.endsWith(".fbat"))
    .sort((one, other) => Number.parseInt(one) - Number.parseInt(other))
    .map((name) => join(directory, name));
}

function numberOf(path) {
  return Number.parseInt(path.slice(path.lastIndexOf("/") + 1));
}

function stripFooters(directory) {
  for (const path of segmentsOf(directory)) {
    const bytes = readFileSync(path);
    if (bytes.length < TRAILER_BYTES || bytes.toString("latin1", bytes.length - 4) !== "SIDX") continue;
    const table = Number(bytes.readBigUInt64LE(bytes.length - TRAILER_BYTES));
    if (table < bytes.length) truncateSync(path, table);
  }
}

function copy(from, to) {
  rmSync(to, { recursive: true, force: true });
  cpSync(from, to, { recursive: true });
  return to;
}

class Seed {
  constructor(program, scratch, seed) {
    this.program = program;
    this.scratch = scratch;
    this.seed = seed;
    this.draw = drawing(seed * 2_654_435_761);
    this.directory = join(scratch, `seed-${seed}`);
    this.exotic = seed % 3 === 0;
    this.truth = new Truth();
    this.story = [];
    this.counts = { events: 0, sessions: 0 };
  }

  async run() {
    rmSync(this.directory, { recursive: true, force: true });
    mkdirSync(this.directory, { recursive: true });
    if (this.draw(12) === 0) this.#plantNumber();
    const sessions = 1 + this.draw(SESSIONS_MAX);
    for (let session = 0; session < sessions; session++) {
      const plan = this.#session(this.seed * 100 + session);
      this.counts.sessions++;
      if (plan === null) break;
      if (plan.end !== "close" && plan.end !== "drop" && this.draw(2) === 0) this.#tear();
      await this.#check(`after session ${session}`);
      this.truth.forgot ||= this.forgets === true;
    }
    await this.#goOn();
    await this.#convert();
    await this.#damage();
    rmSync(this.directory, { recursive: true, force: true });
    for (const name of ["copy", "route", "ours", "native", "back", "damaged"])
      rmSync(join(this.scratch, name), { recursive: true, force: true });
    return this.counts;
  }

  /** A store whose segment numbers are about to get a seventh digit. */
  #plantNumber() {
    const number = 999_998 + this.draw(2);
    const map = Buffer.concat([
      Buffer.from("84a776657273696f6e01a5666c61677300aa637265617465645f6e73cf17d7a1b2c3d4e5f6aa7365676d656e745f6964ce", "hex"),
      Buffer.from([number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255]),
    ]);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(map.length);
    writeFileSync(join(this.directory, `${number}.fbat`), Buffer.concat([Buffer.from("FBAT"), length, map]));
    this.story.push(`segments from ${number} on`);
    // The original reads a seventh digit before the sixth.
    this.sevenDigits = true;
  }

  #session(seed) {
    this.truth.segmentBefore = segmentsOf(this.directory).reduce((newest, path) => Math.max(newest, numberOf(path)), 0);
    const args = ["random", this.directory, String(seed), ...(this.exotic ? ["--exotic"] : [])];
    const result = spawnSync(this.program, args, { encoding: "utf8", timeout: RUN_MS_MAX, maxBuffer: 2 ** 28 });
    const lines = result.stdout
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line));
    const plan = lines[0]?.plan;
    if (plan === undefined) fail(`the original did not begin: ${result.stderr}`);
    if (plan.segment_bytes < 1e6 && plan.batches > 0) this.small = true;
    this.story.push(`session ${JSON.stringify(plan)}`);
    for (const line of lines) this.truth.take(line);
    for (const line of lines)
      if (line.compacted !== undefined) this.story.push(`compacted ${line.compacted.removed_segments} ${line.compacted.failed ?? ""}`);
    if (lines.some(({ compacting }) => compacting) && lines.findLast(({ compacting, compacted }) => compacting ?? compacted)?.compacting)
      this.truth.uncertain = "it died while it compacted";
    const isKilled = plan.end === "timer" || plan.end === "abort";
    if (plan.end === "timer") this.truth.torn = true;
    if (plan.faults > 0 && (isKilled || lines.some(({ refused }) => refused?.includes("njected"))))
      this.truth.uncertain = "a batch failed half-way";
    if (!isKilled && result.status !== 0) {
      this.story.push(`it ended with ${result.stderr.trim()}`);
      return null;
    }
    return plan;
  }

  /** Cuts the newest segment, or lets zeros follow it. */
  #tear() {
    const newest = segmentsOf(this.directory).at(-1);
    const bytes = statSync(newest).size;
    const { truth } = this;
    truth.torn = true;
    const number = numberOf(newest);
    if (this.draw(3) === 0) {
      writeFileSync(newest, Buffer.alloc(1 + this.draw(5000)), { flag: "a" });
      this.story.push(`zeros behind segment ${number}`);
      return;
    }
    const left = this.draw(4) === 0 ? this.draw(bytes + 1) : bytes - this.draw(Math.min(bytes, 300));
    truncateSync(newest, left);
    this.story.push(`segment ${number} cut from ${bytes} to ${left} bytes`);
    // A batch counts only with its COMMIT.
    const whole = truth.events.filter((event) => event.segment_id !== number || event.offset + event.length <= left);
    const lost = new Set(truth.events.filter((event) => !whole.includes(event)).map(placeOf));
    if (lost.size > 0 || left < bytes) {
      truth.events = whole;
      truth.lost = new Set([...(truth.lost ?? []), ...lost]);
      truth.maybe = new Set([...(truth.maybe ?? []), ...this.#batchMates(number)]);
    }
  }

  /** Events of the segment that may belong to a batch whose COMMIT is cut off: those with the time of the last. */
  #batchMates(number) {
    const last = this.truth.events.slice(-25);
    return last.flatMap((event) => [placeOf(event), event.event_id]).concat(`segment ${number}`);
  }

  async #check(when) {
    const { directory, truth, scratch } = this;
    const route = join(scratch, "route");
    const byCheckpoint = await this.#read(directory, when);
    copy(directory, route);
    rmSync(join(route, "index.ckpt"), { force: true });
    const byFooters = await this.#read(route, `${when}, without the checkpoint`);
    stripFooters(route);
    const byScan = await this.#read(route, `${when}, without footers`);
    this.#compareRoutes(byCheckpoint, byFooters, `${when}: by ${byCheckpoint.report.route} and ${byFooters.report.route}`);
    if (!truth.torn) this.#compareRoutes(byFooters, byScan, `${when}: by ${byFooters.report.route} and ${byScan.report.route}`);
    this.#compareTruth(byCheckpoint, when);
    this.#compareOriginal(byCheckpoint, when);
    await this.#verify(directory, byCheckpoint, when);
    this.counts.events += byCheckpoint.rows.length;
    this.last = byCheckpoint;
  }

  async #read(directory, when) {
    try {
      return await rowsOf(directory);
    } catch (error) {
      // Damage is only to be told where bytes were lost.
      if (error.code === "CORRUPT" && (this.truth.uncertain !== null || this.truth.jumbled))
        return { rows: [], damage: [error.message], report: { route: "none", reasons: [] }, error };
      return fail(`${when}: cannot be opened: ${error.stack}`);
    }
  }

  #compareRoutes(one, other, when) {
    if (one.error !== undefined || other.error !== undefined || this.truth.uncertain !== null) return;
    if (one.rows.length !== other.rows.length)
      fail(`${when}: ${one.rows.length} and ${other.rows.length} events (${one.report.reasons} | ${other.report.reasons})`);
    for (const [index, row] of one.rows.entries()) {
      const key = difference(row, other.rows[index], [...SAME, ...PLACE, ...HASHES, "payload"]);
      if (key !== undefined) fail(`${when}: event ${index} differs in ${key}: ${row[key]} and ${other.rows[index][key]}`);
    }
  }

  #compareTruth({ rows, damage, error }, when) {
    const { truth } = this;
    if (truth.uncertain !== null || error !== undefined) return;
    if (damage.length > 0) fail(`${when}: damage is told: ${damage[0]}`);
    const byPlace = new Map(rows.map((row) => [placeOf(row), row]));
    const byId = new Map(rows.map((row) => [row.event_id, row]));
    let found = 0;
    for (const event of truth.events) {
      const row = event.moved ? byId.get(event.event_id) : byPlace.get(placeOf(event));
      if (row === undefined) {
        if (truth.maybe?.has(placeOf(event))) continue;
        fail(
          `${when}: the event ${event.event_id} at ${placeOf(event)} was acknowledged and is not there (${JSON.stringify(this.#reasons(this))})`,
        );
      }
      found++;
      const keys = ["event_id", "correlation_id", "causation_id", "entity", "scope", "kind"];
      const key = difference(row, event, event.moved ? keys : [...keys, ...PLACE]);
      if (key !== undefined) fail(`${when}: event ${event.event_id}: ${key} is ${row[key]}, given was ${event[key]}`);
    }
    if (rows.length !== found && !truth.torn) fail(`${when}: ${rows.length} events are there, ${found} were acknowledged`);
  }

  #reasons({ last }) {
    return last?.report.reasons;
  }

  #original(directory) {
    const result = spawnSync(this.program, ["dump", copy(directory, join(this.scratch, "copy"))], {
      encoding: "utf8",
      timeout: RUN_MS_MAX,
      maxBuffer: 2 ** 28,
    });
    if (result.status !== 0) return { route: "none", rows: [], failure: result.stderr.trim().split("\n").at(-1) };
    return {
      route: /^route: (.*)$/m.exec(result.stderr)?.[1],
      rows: result.stdout.split("\n").slice(0, -1).map(rowOf),
    };
  }

  #compareOriginal({ rows, error, report }, when) {
    if (error !== undefined) return;
    const original = this.#original(this.directory);
    if (original.failure !== undefined) {
      this.story.push(`${when}: the original cannot open it: ${original.failure}`);
      return;
    }
    const byPlace = new Map(rows.map((row) => [placeOf(row), row]));
    let sequence = -1;
    const inOrder = original.rows.every((row, index) => {
      const isNext = row.global_sequence > sequence && placeOf(row) === (rows[index] === undefined ? "" : placeOf(rows[index]));
      sequence = row.global_sequence;
      return isNext;
    });
    if (!inOrder || original.rows.length !== rows.length) this.forgets = true;
    if (!inOrder) this.story.push(`${when}: the original numbers its events out of order, or lists others`);
    for (const row of original.rows) {
      const ours = byPlace.get(placeOf(row));
      if (ours === undefined) {
        // Its footers name events of batches in the wrong segments.
        if (
          this.#isHalfBatch(row, report) ||
          this.truth.uncertain !== null ||
          row.read_error !== undefined ||
          row.header.event_id !== row.event_id
        )
          continue;
        fail(`${when}: the original lists the event ${row.event_id} at ${placeOf(row)}, we do not`);
      }
      if (ours.event_id !== row.event_id && row.header?.event_id !== row.event_id) continue;
      // Where two events have one id, the original gives the payload of one of them.
      const keys = [...SAME, ...PLACE, ...HASHES, ...(inOrder ? ["global_sequence"] : [])];
      const key = difference(ours, row, keys);
      // A checkpoint from before a compaction that died names what other files hold now.
      if (key !== undefined && this.truth.uncertain?.includes("compact")) continue;
      if (key !== undefined) fail(`${when}: event ${row.event_id}: ${key} is ${ours[key]} here, ${row[key]} there`);
      if (
        row.read_error === undefined &&
        ours.payload !== row.payload &&
        !this.exotic &&
        row.header.event_id === row.event_id &&
        !this.#isTwice(rows, row)
      )
        this.#payloadDiffers(ours, row, when);
    }
  }

  /** Where the COMMIT of a batch over two segments is cut off, the original drops what stands in the first and lists the rest. */
  #isHalfBatch(row, { reasons }) {
    return this.truth.maybe?.has(row.event_id) && reasons.some((reason) => reason.includes("batches that are not whole"));
  }

  #isTwice(rows, { event_id: id }) {
    return rows.filter((row) => row.event_id === id).length > 1;
  }

  /** After compaction the original gives `1` for `[1,2,3]`: then what was given counts. */
  #payloadDiffers(ours, row, when) {
    if (this.truth.uncertain !== null || this.truth.events.some(({ moved }) => moved)) return;
    fail(`${when}: event ${row.event_id}: the payload is ${ours.payload} here, ${row.payload} there`);
  }

  #isExpected(code, route) {
    // An older checkpoint, or one that the original wrote of what it had read wrongly: opening has ignored it.
    if (code === "CHECKPOINT_MISMATCH") return route !== "checkpoint";
    // A batch over several segments has its entries in the last one's footer: that one is wrong, and so are the earlier ones.
    if (code.startsWith("INDEX_")) return this.small;
    if (code === "SEGMENT_MISSING") return this.sevenDigits;
    return (this.truth.forgot || (this.sevenDigits && this.truth.compacted)) && (code === "CLOCK_GAP" || code === "CHAIN_BROKEN");
  }

  async #verify(directory, { error }, when) {
    if (error !== undefined) return;
    const store = await Store.open(directory, { readOnly: true });
    try {
      const result = await store.verify();
      const problems = result.problems.filter(({ code }) => !this.#isExpected(code, store.openReport.route));
      // What was torn off is damage once a checkpoint names it.
      const isLost = ({ code, segmentId, offset }) => code === "DAMAGED" && this.truth.lost?.has(`${segmentId}:${offset}`);
      if (problems.some(isLost)) this.truth.uncertain ??= "a checkpoint names what was torn off";
      if (problems.length === 0 || this.truth.uncertain !== null) return;
      const texts = problems.slice(0, 3).map(({ code, message }) => `${code} ${message}`);
      fail(`${when}: verify finds ${texts.join("; ")}`);
    } finally {
      await store.close();
    }
  }

  /** Our writer goes on; the original must open what it leaves by the checkpoint. */
  async #goOn() {
    if (this.last === undefined || this.last.error !== undefined || this.last.damage.length > 0) return;
    // No layout can be told from empty files.
    if (segmentsOf(this.directory).every((path) => statSync(path).size === 0)) return;
    const ours = copy(this.directory, join(this.scratch, "ours"));
    for (let session = 0; session < 2; session++) {
      const store = await Store.open(ours, { segmentBytesMax: 4096 }).catch((error) => error);
      if (store instanceof Error) {
        if (store.code === "CORRUPT" && this.truth.uncertain !== null) return;
        fail(`cannot be opened for writing: ${store.stack}`);
      }
      for (let number = 0; number < this.draw(30); number++) {
        const coordinate = { entity: ["user:1", "ours", "日本語:東京"][this.draw(3)], scope: ["acct", "ours"][this.draw(2)] };
        const event = { kind: 0x1001 + this.draw(3), data: [{ number }, [1, 2, 3], null, 2 ** 60, "x".repeat(200)][this.draw(5)] };
        if (this.draw(5) === 0) await store.append(coordinate, [event, event]);
        else await store.append(coordinate, event);
      }
      await store.close();
    }
    const before = this.last.rows;
    const after = await rowsOf(ours).catch((error) => fail(`gone on with by us: cannot be opened: ${error.stack}`));
    for (const [index, row] of before.entries()) {
      const key = difference(row, after.rows[index] ?? {}, [...SAME, ...PLACE, ...HASHES, "global_sequence", "payload"]);
      if (key !== undefined) fail(`gone on with by us: event ${index} has another ${key}: ${row[key]}, then ${after.rows[index]?.[key]}`);
    }
    if (after.report.route !== "checkpoint")
      fail(`gone on with by us: opened by ${after.report.route}: ${after.report.reasons.join("; ")}`);
    await this.#verify(ours, {}, "gone on with by us");
    const original = this.#original(ours);
    if (original.failure !== undefined) fail(`gone on with by us: the original cannot open it: ${original.failure}`);
    if (original.route !== "checkpoint") fail(`gone on with by us: the original opened it by ${original.route}`);
    // Compaction that died and was done again leaves events twice: the original lists one of them.
    if (this.truth.uncertain !== null && new Set(after.rows.map((row) => row.event_id)).size === original.rows.length) return;
    if (original.rows.length !== after.rows.length)
      fail(`gone on with by us: ${after.rows.length} events here, ${original.rows.length} there`);
    for (const [index, row] of original.rows.entries()) {
      const key = difference(row, after.rows[index], [...SAME, ...PLACE, ...HASHES, "global_sequence"]);
      if (key !== undefined) fail(`gone on with by us: event ${index} has ${key} ${after.rows[index][key]} here, ${row[key]} there`);
    }
  }

  async #convert() {
    if (this.last === undefined || this.last.error !== undefined || this.last.rows.length === 0) return;
    const native = join(this.scratch, "native");
    const back = join(this.scratch, "back");
    for (const path of [native, back]) rmSync(path, { recursive: true, force: true });
    try {
      await convertStore(this.directory, native, { layout: "native" });
      await convertStore(native, back, { layout: "batpak-0.3" });
    } catch (error) {
      const { uncertain, forgot } = this.truth;
      if (error.code === "CORRUPT" && (uncertain !== null || (forgot && error.message.includes("contradict each other")))) return;
      fail(`cannot be converted: ${error.stack}`);
    }
    const [there, again] = [await rowsOf(native), await rowsOf(back)];
    for (const [what, { rows }, keys] of [
      ["native", there, []],
      ["back", again, this.truth.compacted || this.truth.forgot || this.truth.uncertain !== null ? [] : HASHES],
    ]) {
      if (rows.length !== this.last.rows.length) fail(`converted (${what}): ${rows.length} events of ${this.last.rows.length}`);
      for (const [index, row] of this.last.rows.entries()) {
        const key = difference(row, rows[index], SAME.concat(keys, "global_sequence", "payload"));
        if (key !== undefined) fail(`converted (${what}): event ${index} had ${key} ${row[key]}, has ${rows[index][key]}`);
      }
    }
  }

  /** Damage somewhere: told, or harmless; never a wrong answer about an event, nor anything but a typed error. */
  async #damage() {
    if (this.last === undefined) return;
    for (let turn = 0; turn < 3; turn++) {
      const damaged = copy(this.directory, join(this.scratch, "damaged"));
      const files = readdirSync(damaged);
      const path = join(damaged, files[this.draw(files.length)]);
      const bytes = readFileSync(path);
      if (bytes.length === 0) continue;
      const at = this.draw(bytes.length);
      if (this.draw(3) === 0) truncateSync(path, at);
      else {
        bytes[at] ^= 1 << this.draw(8);
        writeFileSync(path, bytes);
      }
      let rows;
      try {
        ({ rows } = await rowsOf(damaged));
      } catch (error) {
        if (typeof error.code !== "string" || error.code.startsWith("ERR_")) fail(`damaged at ${at} of ${path}: ${error.stack}`);
        continue;
      }
      const known = new Map(this.last.rows.map((row) => [placeOf(row), row]));
      for (const row of rows) {
        const before = known.get(placeOf(row));
        if (before === undefined) continue;
        const key = difference(before, row, [...SAME, "event_hash", "payload"]);
        if (key !== undefined)
          fail(`damaged at ${at} of ${path}: event ${row.event_id} has another ${key}: ${before[key]}, then ${row[key]}`);
      }
    }
  }
}

/** Runs the seeds; gives what was compared, throws at the first that differs, with its story. */
export async function compareRandom(program, scratch, first, count, { keepGoing = false } = {}) {
  const total = { seeds: 0, sessions: 0, events: 0, failed: 0 };
  for (let number = first; number < first + count; number++) {
    const seed = new Seed(program, scratch, number);
    try {
      const { sessions, events } = await seed.run();
      total.sessions += sessions;
      total.events += events;
    } catch (error) {
      const what = error instanceof Trouble ? error.message : error.stack;
      const text = `seed ${number}: ${what}\n  ${seed.story.join("\n  ")}\n  uncertain: ${seed.truth.uncertain}, kept in ${seed.directory}`;
      if (!keepGoing || !existsSync(seed.directory)) throw new Error(text);
      console.log(text);
      total.failed++;
    }
    total.seeds++;
  }
  return total;
}
