/**
 * A record of an agent's run: every thought, call and answer is an event that names the event which caused it. Afterwards the run can be shown
 * as a tree, and anything in it asked why it happened.
 *
 *   npm run example:agent
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AnyNewEvent, defineEvent, defineProjection, type Event, Store, type } from "batpak";

const RunStarted = defineEvent("RunStarted", { schema: type<{ task: string }>() });
const Thought = defineEvent("Thought", { schema: type<{ text: string }>() });
const ToolCalled = defineEvent("ToolCalled", { schema: type<{ tool: string; input: string }>() });
const ToolAnswered = defineEvent("ToolAnswered", { schema: type<{ output: string; tokens: number }>() });
const ToolFailed = defineEvent("ToolFailed", { schema: type<{ error: string }>() });
const RunFinished = defineEvent("RunFinished", { schema: type<{ answer: string; tokens: number }>() });
const events = [RunStarted, Thought, ToolCalled, ToolAnswered, ToolFailed, RunFinished] as const;
type RunEvent = Event<typeof events>;

const Costs = defineProjection({
  name: "costs",
  events: [ToolCalled, ToolAnswered, ToolFailed, RunFinished],
  initial: { calls: 0, failures: 0, tokens: 0 },
  on: {
    ToolCalled: (costs) => ({ ...costs, calls: costs.calls + 1 }),
    ToolAnswered: (costs, { data }) => ({ ...costs, tokens: costs.tokens + data.tokens }),
    ToolFailed: (costs) => ({ ...costs, failures: costs.failures + 1 }),
    RunFinished: (costs, { data }) => ({ ...costs, tokens: costs.tokens + data.tokens }),
  },
});

const directory = await mkdtemp(join(tmpdir(), "batpak-agent-"));
const store = await Store.open(directory, { events });
try {
  const { root, failure } = await recordRun();
  console.log("The run, each event below the one that caused it:\n");
  await printTree(root);
  console.log("\nWhy was the second source asked?\n");
  const [cause, ...earlier] = await whys(failure);
  console.log(`  ${cause}${earlier.map((why) => `\n  because ${why}`).join("")}`);
  const { state } = await store.project(Costs, { query: { correlation: root } });
  console.log(`\n${state.calls} calls, ${state.failures} failed, ${state.tokens} tokens`);
} finally {
  await store.close();
  await rm(directory, { recursive: true });
}

/** What an agent would do, were there a model behind it. */
async function recordRun(): Promise<{ root: string; failure: string }> {
  const run = "run:2041";
  // Agents and tools are streams of their own; correlation and causation hold the run together.
  const note = async (entity: string, event: AnyNewEvent, causedBy: string): Promise<string> =>
    (await store.append({ entity, scope: run }, event, { causedBy })).id;

  const { id: root } = await store.append({ entity: run, scope: run }, RunStarted({ task: "How high is the Zugspitze in feet?" }));
  const plan = await note("agent:planner", Thought({ text: "Find the height in metres, then convert it." }), root);
  const look = await note("tool:search", ToolCalled({ tool: "search", input: "height of the Zugspitze" }), plan);
  const failed = await note("tool:search", ToolFailed({ error: "timeout after 10 s" }), look);
  const again = await note("agent:planner", Thought({ text: "The search is down. Ask the atlas instead." }), failed);
  const atlas = await note("tool:atlas", ToolCalled({ tool: "atlas", input: "Zugspitze" }), again);
  const metres = await note("tool:atlas", ToolAnswered({ output: "2962 m", tokens: 41 }), atlas);
  const convert = await note("tool:calculator", ToolCalled({ tool: "calculator", input: "2962 / 0.3048" }), metres);
  const feet = await note("tool:calculator", ToolAnswered({ output: "9717.85", tokens: 12 }), convert);
  await note(run, RunFinished({ answer: "About 9,718 feet.", tokens: 230 }), feet);
  return { root, failure: atlas };
}

/** The whole run is one correlation: one query brings it, and causation makes the tree. */
async function printTree(root: string): Promise<void> {
  const effects = new Map<string | null, RunEvent[]>();
  for await (const event of store.read({ correlation: root })) {
    const siblings = effects.get(event.causationId) ?? [];
    siblings.push(event);
    effects.set(event.causationId, siblings);
  }
  const print = (event: RunEvent, depth: number): void => {
    console.log(`${"  ".repeat(depth + 1)}${event.entity}  ${describe(event)}`);
    for (const effect of effects.get(event.id) ?? []) print(effect, depth + 1);
  };
  for (const event of effects.get(null) ?? []) print(event, 0);
}

/** The event and its causes, nearest first. */
async function whys(id: string): Promise<string[]> {
  const event = await store.get(id);
  const chain = event === null ? [] : [describe(event)];
  for await (const cause of store.ancestors(id)) chain.push(describe(cause));
  return chain;
}

/** `event.type` tells the kinds of events apart; `data` has its type by then. */
function describe(event: RunEvent): string {
  switch (event.type) {
    case "RunStarted":
      return `asked: ${event.data.task}`;
    case "Thought":
      return `thought: ${event.data.text}`;
    case "ToolCalled":
      return `called ${event.data.tool}(${event.data.input})`;
    case "ToolAnswered":
      return `answered: ${event.data.output}`;
    case "ToolFailed":
      return `failed: ${event.data.error}`;
    case "RunFinished":
      return `finished: ${event.data.answer}`;
    default:
      return "something else";
  }
}
