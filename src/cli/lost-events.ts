/**
 * What a verb cannot print of the events that it reads: those whose frames are damaged, and payloads and metadata that cannot be decoded. Each is
 * told on standard error with its place, and how many there were at the end. The exit status says so as well.
 */
import type { StoreError } from "../base/store-error.ts";
import type { PlainEvent } from "../events/event.ts";
import type { Store } from "../store.ts";
import type { NoteUnreadable } from "./event-text.ts";
import type { Terminal } from "./terminal.ts";

export class LostEvents {
  readonly #store: Store;
  readonly #terminal: Terminal;
  /** Not told yet. */
  #noted: { readonly event: PlainEvent; readonly member: string; readonly reason: string }[] = [];
  readonly #unreadable = new Set<number>();

  constructor(store: Store, terminal: Terminal) {
    this.#store = store;
    this.#terminal = terminal;
  }

  /** For a read: told of damage. */
  readonly onDamage = (error: StoreError<"CORRUPT">, sequence: number): void => {
    this.#terminal.tellProblem(`Event ${sequence} is lost: ${error.message}`);
  };

  /** For printing an event: told of what cannot be decoded. */
  readonly note: NoteUnreadable = (event, member, reason) => {
    this.#noted.push({ event, member, reason });
  };

  /** Tells of what was noted, once it is printed. */
  async tell(): Promise<void> {
    const noted = this.#noted;
    this.#noted = [];
    for (const { event, member, reason } of noted) {
      const { id, sequence } = event;
      const place = await this.#placeOf(sequence);
      this.#terminal.tellProblem(`The ${member} of event ${sequence} cannot be decoded: ${reason} (id ${id}${place})`);
      this.#unreadable.add(sequence);
    }
  }

  async #placeOf(sequence: number): Promise<string> {
    for await (const [{ segmentId, offset }] of this.#store.readPlaced({ sequence: { from: sequence, to: sequence } }))
      return `, segment ${segmentId}, offset ${offset}`;
    return "";
  }

  /** Tells how many events were not printed whole. */
  async end(): Promise<void> {
    await this.tell();
    const { size } = this.#unreadable;
    if (size > 0) this.#terminal.tellProblem(`${size} ${size === 1 ? "event has" : "events have"} contents that cannot be decoded`);
  }
}
