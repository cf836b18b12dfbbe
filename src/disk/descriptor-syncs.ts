/**
 * The syncs of one file descriptor, several of which may be under way at a time.
 *
 * A system tells a descriptor once that something could not be written back, whoever asks first: of two syncs that overlap, the other one then succeeds over
 * bytes that are lost.
 *
 * Invariants:
 * 1. A sync succeeds only if none that was under way beside it has failed.
 * 2. Once one has failed, all later ones fail, and nothing is asked of the system any more.
 */
export class DescriptorSyncs {
  readonly #sync: () => Promise<void>;
  readonly #underWay = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | null = null;

  /** @param sync asks the system */
  constructor(sync: () => Promise<void>) {
    this.#sync = sync;
  }

  /** Syncs, and calls `done` with what went wrong, or null. */
  run(done: (error: Error | null) => void): void {
    this.#run().then(() => done(null), done);
  }

  async #run(): Promise<void> {
    this.#throwFailure();
    const own = this.#sync().catch((error: unknown) => {
      this.#failure ??= { error };
    });
    this.#underWay.add(own);
    await own;
    this.#underWay.delete(own);
    // They may have been told already, and their answers not be here yet.
    await Promise.all(this.#underWay);
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }
}
