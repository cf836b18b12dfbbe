/**
 * How many times as much of the processor the work takes with `factor` times as much to do: about `factor` where it goes over everything once,
 * about its square where it looks for each among all. For tests that must say the same on every machine.
 *
 * @param work does the work with so much to do; the least of some times counts
 *
 * @example assert.ok((await growth(1000, 8, (count) => planOf(count))) < 32);
 */
export async function growth(count: number, factor: number, work: (count: number) => Promise<unknown>): Promise<number> {
  // Whatever is too short to be measured is not the smaller part of what grows.
  const small = Math.max(await leastMs(() => work(count)), 1);
  return (await leastMs(() => work(count * factor))) / small;
}

async function leastMs(work: () => Promise<unknown>): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let time = 0; time < 3; time++) {
    const before = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, (user + system) / 1000);
  }
  return least;
}
