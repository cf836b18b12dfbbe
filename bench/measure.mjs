/** Interleaved measuring: contestants take turns within each round, so that what slows the machine slows them all; ratios are per round. */
import { performance } from "node:perf_hooks";

export function median(values) {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Of each contestant before anything counts: what it runs has been compiled for the speed that it keeps. */
const WARM_UP_MS = 1500;
/** A turn lasts at least so long: not a few milliseconds of luck. */
const TURN_MS = 250;

/**
 * Nobody collects garbage on purpose between turns: a forced collection throws away compiled code as well, and for a tenth of a second
 * everything in JavaScript would run at a fraction of its speed.
 *
 * @param contestants by name: a function that does its work once and returns how many units it did
 * @returns by name, the units per second of each round
 */
export async function race(contestants, { rounds, quick = false }) {
  const names = Object.keys(contestants);
  const rates = Object.fromEntries(names.map((name) => [name, []]));
  const shortened = quick ? 5 : 1;
  for (const name of names) await rateOf(contestants[name], WARM_UP_MS / shortened);
  for (let round = 0; round < rounds; round++) {
    // The order turns, so that nobody always comes after the same neighbour.
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length];
      rates[name].push(await rateOf(contestants[name], TURN_MS / shortened));
    }
  }
  return rates;
}

/** Units per second of a work that is done until so much time has passed, at least once. */
export async function rateOf(work, milliseconds) {
  const start = performance.now();
  let units = 0;
  let passed;
  do {
    units += await work();
    passed = performance.now() - start;
  } while (passed < milliseconds);
  return (units / passed) * 1000;
}

/** The ratio of two contestants, round by round: median, least and greatest. */
export function ratio(rates, name, otherName) {
  const ratios = rates[name].map((rate, round) => rate / rates[otherName][round]);
  return { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) };
}
