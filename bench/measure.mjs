/** Interleaved measuring: contestants take turns within each round, so that what slows the machine slows them all; ratios are per round. */
import { performance } from "node:perf_hooks";

export function median(values) {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * @param contestants by name: a function that does its work once and returns how many units it did
 * @returns by name, the units per second of each round
 */
export async function race(contestants, { rounds, warmUps = 1 }) {
  const names = Object.keys(contestants);
  const rates = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = -warmUps; round < rounds; round++) {
    // The order turns, so that nobody always comes after the same neighbour.
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round + warmUps) % names.length];
      globalThis.gc?.();
      const start = performance.now();
      const units = await contestants[name]();
      const seconds = (performance.now() - start) / 1000;
      if (round >= 0) rates[name].push(units / seconds);
    }
  }
  return rates;
}

/** The ratio of two contestants, round by round: median, least and greatest. */
export function ratio(rates, name, otherName) {
  const ratios = rates[name].map((rate, round) => rate / rates[otherName][round]);
  return { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) };
}
