/**
 * Waiting for a signal, however many do: one listener for all of them. Were there one for each, they would be looked through whenever another
 * comes, and Node warns of a leak from the eleventh on.
 */
interface Waiting {
  readonly entries: Set<{ readonly aborted: () => void }>;
  readonly listener: () => void;
}

const waitingFor = new WeakMap<AbortSignal, Waiting>();
const NOTHING = (): void => {};

/**
 * Calls `aborted` once when the signal is aborted; not where it is already. Those who wait for one signal are called in the order in which they
 * came.
 *
 * @returns takes it back; may be called more than once
 */
export function onAbort(signal: AbortSignal | null | undefined, aborted: () => void): () => void {
  if (signal === null || signal === undefined || signal.aborted) return NOTHING;
  const waiting = waitingFor.get(signal) ?? listen(signal);
  const { entries, listener } = waiting;
  const entry = { aborted };
  entries.add(entry);
  return () => {
    if (!entries.delete(entry) || entries.size > 0 || waitingFor.get(signal) !== waiting) return;
    waitingFor.delete(signal);
    signal.removeEventListener("abort", listener);
  };
}

function listen(signal: AbortSignal): Waiting {
  const entries: Waiting["entries"] = new Set();
  const listener = (): void => {
    waitingFor.delete(signal);
    for (const entry of entries) {
      entries.delete(entry);
      entry.aborted();
    }
  };
  const waiting = { entries, listener };
  waitingFor.set(signal, waiting);
  signal.addEventListener("abort", listener, { once: true });
  return waiting;
}
