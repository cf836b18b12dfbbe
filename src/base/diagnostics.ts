/**
 * What the store tells whoever listens, on `node:diagnostics_channel`. Nobody listening costs a comparison.
 *
 * | channel | message |
 * | --- | --- |
 * | `batpak:open` | `{ directory, report }`: a store was opened, by which route and why |
 * | `batpak:index-rebuilt` | `{ directory, segmentId, reason }`: an index block could not be used |
 * | `batpak:background-failed` | `{ directory, what, error }`: a checkpoint or an index block could not be written |
 */
import { channel } from "node:diagnostics_channel";

const channels = {
  open: channel("batpak:open"),
  "index-rebuilt": channel("batpak:index-rebuilt"),
  "background-failed": channel("batpak:background-failed"),
};

/** Tells those who listen on `batpak:<name>`. */
export function tell(name: keyof typeof channels, message: Readonly<Record<string, unknown>>): void {
  const { [name]: to } = channels;
  if (to.hasSubscribers) to.publish(message);
}
