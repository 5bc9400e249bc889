// Runs programs against the engine of the guide: node run_in_node.mjs guide/microgpt.html
// Each line of the input is {"program": "return input.a + 1", "input": {...}}, the body of an async function that sees
// everything that the page's engine defines. It is answered by a line {"result": ...}, {"bad": {problem, remedy}} for
// what the engine refuses, or {"failed": "..."}.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import vm from "node:vm";

const page = readFileSync(process.argv[2], "utf8");
const blocks = ["random", "libm", "engine", "run", "graph", "expression", "worker"].map((id) => {
  const block = new RegExp(`<script\\b[^>]*\\bid="${id}"[^>]*>([^]*?)</script>`).exec(page);
  if (block === null) throw new Error(`${process.argv[2]} has no block ${id}`);
  return block[1];
});

globalThis.kept = {}; // what a program leaves for the next one
vm.runInThisContext(blocks.join("\n"), { filename: "engine.js" });

const plain = (_, value) => (ArrayBuffer.isView(value) ? Array.from(value) : typeof value === "bigint" ? `${value}` : value);
const answer = (object) => process.stdout.write(`${JSON.stringify(object, plain)}\n`);

for await (const line of createInterface({ input: process.stdin })) {
  const { program, input } = JSON.parse(line);
  try {
    const run = vm.runInThisContext(`(async (input) => {${program}\n})`);
    answer({ result: (await run(input)) ?? null });
  } catch (error) {
    if (error.problem) answer({ bad: { problem: error.problem, remedy: error.remedy } });
    else answer({ failed: `${error.stack}` });
  }
}
process.exit(0); // a worker's channel would keep it open
