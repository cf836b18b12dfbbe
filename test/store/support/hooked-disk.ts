/** A disk on which somebody is stopped between two calls, or something else happens there. */
import type { Disk } from "../../../src/disk/disk.ts";

export type Hook = (when: "before" | "after", operation: string, path: string, to: string | undefined) => Promise<void> | void;

/** A disk with a hook around each asynchronous operation on names. */
export function hooked(disk: Disk, hook: Hook): Disk {
  return new Proxy(disk, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      const call = (...args: string[]): Promise<unknown> => (value as (...given: string[]) => Promise<unknown>).apply(target, args);
      if (!["open", "list", "status", "rename", "link", "remove"].includes(String(name))) return value.bind(target) as unknown;
      return async (...args: string[]) => {
        await hook("before", String(name), args[0], args[1]);
        const result = await call(...args);
        await hook("after", String(name), args[0], args[1]);
        return result;
      };
    },
  });
}

/** Where somebody is stopped: `reached` is fulfilled when it gets there, and it goes on when `open` was called. */
export function stop(): { readonly here: () => Promise<void>; readonly reached: Promise<void>; readonly open: () => void } {
  let tell = (): void => {};
  let open = (): void => {};
  const reached = new Promise<void>((resolve) => {
    tell = resolve;
  });
  const until = new Promise<void>((resolve) => {
    open = resolve;
  });
  const here = async (): Promise<void> => {
    tell();
    await until;
  };
  return { here, reached, open: () => open() };
}
