/**
 * What the store tells whoever listens, on `node:diagnostics_channel`. Nobody listening costs a comparison: messages are made only for listeners.
 *
 * | channel | message |
 * | --- | --- |
 * | `batpak:open` | `{ directory, report }`: a store was opened, by which route and why |
 * | `batpak:index-rebuilt` | `{ directory, segmentId, reason }`: an index block could not be used |
 * | `batpak:background-failed` | `{ directory, what, error }`: a checkpoint or an index block could not be written, a segment that compaction replaced not be removed, or a reader that follows cannot look for more |
 * | `batpak:projection-snapshot` | `{ directory, projection, target, outcome, reason, error }`: a snapshot was `"ignored"` or `"not written"` |
 *
 * What takes time is told as a tracing channel, `tracing:batpak.<operation>:start` and so on, with one message object for all of an operation's
 * channels. `docs/observability.md` has the members of each.
 */
import { channel, tracingChannel } from "node:diagnostics_channel";

const channels = {
  open: channel("batpak:open"),
  "index-rebuilt": channel("batpak:index-rebuilt"),
  "background-failed": channel("batpak:background-failed"),
  "projection-snapshot": channel("batpak:projection-snapshot"),
};

/** Tells those who listen on `batpak:<name>`. */
export function tell(name: keyof typeof channels, message: Readonly<Record<string, unknown>>): void {
  const { [name]: to } = channels;
  if (to.hasSubscribers) to.publish(message);
}

const traces = {
  append: tracingChannel<object>("batpak.append"),
  commit: tracingChannel<object>("batpak.commit"),
  read: tracingChannel<object>("batpak.read"),
  checkpoint: tracingChannel<object>("batpak.checkpoint"),
  rotate: tracingChannel<object>("batpak.rotate"),
  recover: tracingChannel<object>("batpak.recover"),
  project: tracingChannel<object>("batpak.project"),
  compact: tracingChannel<object>("batpak.compact"),
};

const PARTS = ["start", "end", "asyncStart", "asyncEnd", "error"] as const;

export type TracedOperation = keyof typeof traces;

/** Whether anybody listens to the operation. On a hot path: ask this before making what `traced` takes. */
export function isTraced(operation: TracedOperation): boolean {
  const { [operation]: trace } = traces;
  // Bun has no such getter.
  return (trace.hasSubscribers as boolean | undefined) ?? PARTS.some((part) => trace[part].hasSubscribers);
}

/**
 * Does the work; where somebody listens, between the messages of a tracing channel: `start`, `end` once the call has returned, `asyncStart`
 * and `asyncEnd` once its promise has settled, `error` before these where it failed. Node adds `result` or `error` to the message.
 *
 * @param message what the operation is about; asked for only where somebody listens
 */
export function traced<Result>(
  operation: TracedOperation,
  message: () => Record<string, unknown>,
  work: () => Promise<Result>,
): Promise<Result> {
  const { [operation]: trace } = traces;
  return isTraced(operation) ? (trace.tracePromise(work, message()) as Promise<Result>) : work();
}
