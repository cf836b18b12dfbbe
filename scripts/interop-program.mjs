/** The original's side of the interoperability test and of a row of the bench: the small program in `interop/`, built where cargo can be had. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = join(dirname(fileURLToPath(import.meta.url)), "..", "interop");
const manifest = join(folder, "Cargo.toml");
const FETCH_MS_MAX = 180_000;
const BUILD_MS_MAX = 600_000;

/** Where it stands once it is built. */
export const program = join(folder, "target", "release", "batpak-interop");

/** Builds it. Gives the reason why it cannot be had, or null; throws where it does not compile. */
export function buildProgram() {
  const cargo = findCargo();
  if (cargo === undefined) return "there is no cargo";
  const quietly = { encoding: "utf8", stdio: ["ignore", "ignore", "pipe"] };
  const fetched = spawnSync(cargo, ["fetch", "--locked", "--manifest-path", manifest], { ...quietly, timeout: FETCH_MS_MAX });
  if (fetched.status !== 0) return `the crates cannot be fetched: ${fetched.stderr.trim().split("\n").at(-1)}`;
  const built = spawnSync(cargo, ["build", "--release", "--locked", "--offline", "--manifest-path", manifest], {
    ...quietly,
    timeout: BUILD_MS_MAX,
  });
  if (built.status !== 0) throw new Error(`cargo build failed:\n${built.stderr}`);
  return null;
}

function findCargo() {
  const usual = join(homedir(), ".cargo", "bin", "cargo");
  const candidates = [process.env.CARGO, "cargo", existsSync(usual) ? usual : undefined].filter((one) => one !== undefined);
  return candidates.find((cargo) => spawnSync(cargo, ["--version"], { stdio: "ignore" }).status === 0);
}
