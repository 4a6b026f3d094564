// Compile a component of Vue or Svelte, given as a file, to a module on standard output.

import { readFileSync } from "node:fs";
import { compileScript, parse } from "vue/compiler-sfc";
import { compile } from "svelte/compiler";

const [path] = process.argv.slice(2);
const source = readFileSync(path, "utf8");
if (path.endsWith(".vue")) {
	const { descriptor } = parse(source);
	console.log(compileScript(descriptor, { id: "it", inlineTemplate: true }).content);
} else {
	const { js, warnings } = compile(source, { generate: "client" });
	if (warnings.length) throw Error(JSON.stringify(warnings));
	console.log(js.code);
}
