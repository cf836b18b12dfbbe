/** Waits for events in one way or another, with nothing else that keeps the process alive; then leaves the store open and ends. */
const [entry, directory, way] = process.argv.slice(2);
const { Store, defineEvent, defineProjection, type } = await import(entry);
const Counted = defineEvent("Counted", { schema: type(), kind: 0x1001 });
const store = await Store.open(directory, { events: [Counted] });
setTimeout(() => store.append({ entity: "a", scope: "s" }, Counted({ n: 1 })), 300).unref();

const ways = {
  subscribe: async () => {
    for await (const event of store.subscribe({})) return event.data.n;
  },
  consumer: async () => {
    for await (const event of await store.consumer("one")) return event.data.n;
  },
  watch: async () => {
    const sum = defineProjection({ name: "sum", events: [Counted], initial: 0, on: { Counted: (total, { data }) => total + data.n } });
    for await (const { state } of store.watch(sum)) if (state > 0) return state;
  },
  react: async () => {
    const ending = new AbortController();
    let seen = 0;
    const handler = (event) => {
      seen = event.data.n;
      ending.abort();
      return [];
    };
    await store.react("one", {}, handler, { signal: ending.signal }).catch(() => {});
    return seen;
  },
  nothing: async () => "none",
};
console.log(`seen ${await ways[way]()}`);
