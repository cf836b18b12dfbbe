/**
 * Runs fuzz targets. The input of a run follows from seed, target and the run's number alone, so that any one run can be done again:
 * `npm run fuzz -- --seed S --target NAME --from N --runs 1`.
 *
 * Held for every input: the target ends in one of its outcomes, in time, within its bound of memory, and says the same whatever lies before
 * and behind its bytes (twice, between zeros and between ones: what is read there would show).
 */
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { below, mutate, pick, type Random } from "./mutation.ts";

export interface FuzzTarget {
  readonly name: string;
  /** Real bytes, from which inputs are made. */
  readonly corpus: readonly Uint8Array[];
  /** Its part of all runs. */
  readonly weight: number;
  /** Makes lengths and checksums right again, so that what lies behind them is reached. May give other bytes. */
  readonly mend?: (bytes: Uint8Array, random: Random) => Uint8Array;
  /** Decodes the bytes at `[at, at + length)` of a larger buffer, and describes all that came of it. The first word is the outcome. */
  readonly run: (input: FuzzInput) => string | Promise<string>;
  /** False for targets that bring their own disk: they are run once. Default true. */
  readonly embedded?: boolean;
  /** Bytes that may be allocated beside the input, however small it is. Default 1 MiB. */
  readonly bytesMax?: number;
}

/** One input, and where it lies. */
export interface FuzzInput {
  /** The input alone, as a view into the larger buffer. */
  readonly bytes: Uint8Array;
  readonly whole: Uint8Array;
  readonly view: DataView;
  readonly at: number;
  /** For targets that need more choices than the bytes: the same for each embedding. */
  readonly seed: number;
}

const MARGIN = 64;
const BYTES_PER_INPUT_BYTE_MAX = 256;
/** One input may take this long. Far beyond any real one: only what does not end gets there. */
const MILLISECONDS_MAX = 10_000;

export class FuzzFailure extends Error {
  constructor(target: FuzzTarget, seed: number, run: number, bytes: Uint8Array, reason: string, cause?: unknown) {
    const hex = Buffer.from(bytes).toString("hex");
    super(
      `${target.name}: ${reason}\n  input (${bytes.length} bytes): ${hex.length > 20_000 ? `${hex.slice(0, 20_000)}…` : hex}\n` +
        `  again: npm run fuzz -- --seed ${seed} --target ${target.name} --from ${run} --runs 1`,
      { cause },
    );
    this.name = "FuzzFailure";
  }
}

export interface FuzzOutcomes {
  readonly runs: number;
  readonly milliseconds: number;
  /** How often each outcome came. */
  readonly outcomes: ReadonlyMap<string, number>;
}

/** Runs `[from, from + runs)` of a target. `onRun` is told each number before it begins. */
export async function fuzzTarget(
  target: FuzzTarget,
  seed: number,
  from: number,
  runs: number,
  onRun: (run: number) => void = () => {},
  until = Number.POSITIVE_INFINITY,
): Promise<FuzzOutcomes> {
  const outcomes = new Map<string, number>();
  const started = performance.now();
  let run = from;
  for (; run < from + runs && performance.now() < until; run++) {
    onRun(run);
    const bytes = inputOf(target, seed, run);
    const outcome = await runOnce(target, seed, run, bytes);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  return { runs: run - from, milliseconds: performance.now() - started, outcomes };
}

/** The input of one run. */
export function inputOf(target: FuzzTarget, seed: number, run: number): Uint8Array {
  const random = seededRandom(mix(seed, run));
  const bytes = mutate(random, pick(random, target.corpus), target.corpus);
  return target.mend !== undefined && below(random, 4) > 0 ? target.mend(bytes, random) : bytes;
}

function mix(seed: number, run: number): number {
  return (Math.imul(seed, 0x9e37_79b1) ^ Math.imul(run + 1, 0x85eb_ca6b)) >>> 0;
}

async function runOnce(target: FuzzTarget, seed: number, run: number, bytes: Uint8Array): Promise<string> {
  let first: string | null = null;
  const bytesMax = (target.bytesMax ?? 1024 * 1024) + bytes.length * BYTES_PER_INPUT_BYTE_MAX;
  for (const fill of target.embedded === false ? [0] : [0, 0xff]) {
    const input = embed(bytes, fill, mix(seed, run));
    const buffersBefore = process.memoryUsage().arrayBuffers;
    const started = performance.now();
    let said: string;
    try {
      const outcome = target.run(input);
      said = typeof outcome === "string" ? outcome : await outcome;
    } catch (error) {
      throw new FuzzFailure(target, seed, run, bytes, `it threw ${error instanceof Error ? error.stack : String(error)}`, error);
    }
    const milliseconds = performance.now() - started;
    if (milliseconds > MILLISECONDS_MAX) throw new FuzzFailure(target, seed, run, bytes, `it took ${Math.round(milliseconds)} ms`);
    const allocated = process.memoryUsage().arrayBuffers - buffersBefore;
    if (allocated > bytesMax) throw new FuzzFailure(target, seed, run, bytes, `it took ${allocated} bytes, ${bytesMax} are allowed`);
    if (first !== null && said !== first)
      throw new FuzzFailure(target, seed, run, bytes, `what lies around the bytes changes the answer:\n  ${first}\n  ${said}`);
    first = said;
  }
  return (first as string).split(/[ :]/, 1)[0];
}

function embed(bytes: Uint8Array, fill: number, seed: number): FuzzInput {
  const whole = new Uint8Array(bytes.length + 2 * MARGIN).fill(fill);
  whole.set(bytes, MARGIN);
  return { bytes: whole.subarray(MARGIN, MARGIN + bytes.length), whole, view: new DataView(whole.buffer), at: MARGIN, seed };
}
