/**
 * Which crash states of a scenario are looked at: it is crashed during every operation that changes the disk, and each time the disks that the
 * crash may have left are listed, all of them where they are few, else a seeded sample. A disk that was checked with the same promises is
 * not checked again, so that the time goes into disks that differ.
 */
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { checkState, runScenario } from "./crash-run.ts";
import type { Scenario } from "./driver.ts";

export interface EnumerationSettings {
  readonly seed: number;
  /** Disks listed for one crash. */
  readonly listedMax: number;
  /** Of these, how many that no earlier crash left are checked: at most this many, and each with this probability. */
  readonly checkedMax: number;
  readonly checkedShare: number;
  /** Of the states: how many also crash the recovery, 0 to 1, and how many disks each such crash is looked at with. */
  readonly secondCrashShare: number;
  readonly secondCrashDisks: number;
  /** Of the states: how many are looked at in every way there is, 0 to 1. */
  readonly fullShare: number;
}

/** How many disks were opened, and how many of them were different. */
export class CrashCount {
  opened = 0;
  readonly #distinct = new Set<string>();

  readonly counted = (disk: SimulatedDisk, fingerprint = disk.fingerprint()): void => {
    this.opened++;
    // Half a digest: 80 bits keep a million apart.
    this.#distinct.add(fingerprint.slice(0, 20));
  };

  get distinct(): number {
    return this.#distinct.size;
  }

  fingerprints(): string[] {
    return [...this.#distinct];
  }

  toString(): string {
    return `${this.opened} crash states tried, ${this.distinct} distinct disks`;
  }
}

/** Crashes the scenario everywhere; throws at the first state that breaks a promise, and says how to get there again. */
export async function crashEverywhere(scenario: Scenario, settings: EnumerationSettings, count: CrashCount): Promise<void> {
  const whole = new SimulatedDisk();
  await runScenario(scenario, whole);
  const operations = whole.operationCount;
  const random = seededRandom(settings.seed);
  const checked = new Set<string>();
  // The last turn: the power fails after all has resolved, with what closing promised.
  for (let number = 1; number <= operations + 1; number++) {
    const disk = new SimulatedDisk();
    disk.crashDuring(number);
    const { ledger } = await runScenario(scenario, disk);
    if (number > operations) disk.crashNow();
    const promises = ledger.attempts.map(({ receipts, durable, lost }) => (receipts === null ? 0 : 1) + (durable ? 2 : 0) + (lost ? 4 : 0));
    const promised = promises.join("");
    let which = 0;
    const check = async (left: SimulatedDisk, powerCut: boolean, fingerprint?: string): Promise<void> => {
      const secondCrashDisks = random() < settings.secondCrashShare ? settings.secondCrashDisks : 0;
      const { options } = scenario;
      try {
        await checkState(left, {
          ledger,
          options,
          powerCut,
          random,
          secondCrashDisks,
          fullShare: settings.fullShare,
          counted: count.counted,
          ...(fingerprint === undefined ? {} : { fingerprint }),
        });
      } catch (error) {
        const at = `operation ${number} of ${operations}, disk ${which}${powerCut ? "" : " (killed, no power cut)"}, seed ${settings.seed}`;
        throw new Error(`"${scenario.name}" crashed during ${at}: ${String(error)}`, { cause: error });
      }
    };
    await check(disk.diskAfterKill(), false);
    let checkedHere = 0;
    for (const left of disk.possibleDisks({ limit: settings.listedMax, seed: settings.seed + number })) {
      which++;
      const fingerprint = left.fingerprint();
      const key = `${promised} ${fingerprint}`;
      // The first ones listed are those that keep nothing, and all: not always they.
      if (checked.has(key) || random() >= settings.checkedShare) continue;
      checked.add(key);
      await check(left, true, fingerprint);
      if (++checkedHere === settings.checkedMax) break;
    }
  }
}
