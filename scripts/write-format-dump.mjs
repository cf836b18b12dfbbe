#!/usr/bin/env node
// Writes the generated parts of docs/format.md anew: the layout tables, and the dump of a small real store.
//
//   npm run docs:format

import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { withGeneratedParts } from "../test/docs/format-dump.ts";
import { projectRoot } from "./tool.mjs";

const file = path.join(projectRoot, "docs", "format.md");
writeFileSync(file, await withGeneratedParts(readFileSync(file, "utf8")));
