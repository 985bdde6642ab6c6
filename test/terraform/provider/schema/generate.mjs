#!/usr/bin/env node
// Writes schema.json: the schema facts of the few resources and data sources that
// the module and its examples use, out of a published package that was generated
// from the schema of the AWS provider.
//
//   node generate.mjs             fetches the package with npm, and writes schema.json
//   node generate.mjs DIRECTORY   takes the package that was unpacked there
//
// What the package does not tell: which optional arguments the provider fills in
// when they are left out (see filledIn), defaults, and deprecations.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PACKAGE = "@cdktf/provider-aws@21.22.1";

const RESOURCES = [
  "cloudwatch_dashboard",
  "cloudwatch_log_group",
  "cloudwatch_metric_alarm",
  "dynamodb_table",
  "ecs_cluster",
  "ecs_task_definition",
  "glue_job",
  "iam_policy",
  "iam_role",
  "iam_role_policy",
  "iam_role_policy_attachment",
  "lambda_function",
  "s3_bucket",
  "s3_bucket_lifecycle_configuration",
  "s3_bucket_ownership_controls",
  "s3_bucket_policy",
  "s3_bucket_public_access_block",
  "s3_bucket_server_side_encryption_configuration",
  "s3_bucket_versioning",
  "s3_object",
  "scheduler_schedule",
  "scheduler_schedule_group",
  "sns_topic",
];
const DATA_SOURCES = ["caller_identity", "partition", "region"];

// Arguments that the provider fills in where they are optional and left out.
const filledIn = new Set(["bucket", "bucket_prefix", "id", "name", "name_prefix", "region", "tags_all"]);

// The arguments that Terraform itself gives to every resource.
const META = new Set(["connection", "count", "dependsOn", "forEach", "lifecycle", "provider", "provisioners"]);

const PRIMITIVES = { string: "string", number: "number", boolean: "bool", any: "dynamic" };

function attributeType(kind, storage, where) {
  if (kind === "simple" && PRIMITIVES[storage]) return PRIMITIVES[storage];
  const element = /^(string|number|boolean|any)(List|Map|ListMap|MapList)$/.exec(storage);
  if (!element) throw new Error(`${where}: no type for ${kind} of ${storage}`);
  const one = PRIMITIVES[element[1]];
  switch (element[2]) {
    case "ListMap":
      return ["map", ["list", one]];
    case "MapList":
      return [kind, ["map", one]];
    default:
      return [kind, one];
  }
}

class Source {
  constructor(directory, folder) {
    this.js = readFileSync(join(directory, "lib", folder, "index.js"), "utf8");
    this.dts = readFileSync(join(directory, "lib", folder, "index.d.ts"), "utf8");
    this.resourceClass = /class (\w+) extends cdktf\.Terraform(?:Resource|DataSource) /.exec(this.js)[1];
    this.type = /static readonly tfResourceType = "(\w+)"/.exec(this.dts)[1];
    this.provider = /providerVersion: '([^']+)'/.exec(this.js)[1];
  }

  // The arguments that an interface declares: whether they must be there, whether
  // there may be many, and of which interface they are.
  declared(name) {
    const text = new RegExp(`export interface ${name}(?: extends [\\w.]+)? \\{\\n([\\s\\S]*?)\\n\\}`).exec(this.dts)[1];
    const found = new Map();
    for (const [, comment, property, optional, type] of text.matchAll(/(?:\/\*\*([\s\S]*?)\*\/\s*)?readonly (\w+)(\??): ([^;{]+|\{[^}]*\});/g)) {
      found.set(property, {
        required: optional === "",
        block: /^\s*\* \w+ block\n/.test(comment ?? ""),
        many: /^\w+\[\]/.test(type),
        interface: /^(\w+)/.exec(type)?.[1],
      });
    }
    return found;
  }

  // The arguments in the order of the code that writes them, with their types.
  *written(text) {
    const entry = /\n +(\w+): \{\s+value: (.+),\s+isBlock: (\w+),\s+type: "(\w+)",\s+storageClassType: "(\w+)",\s+\}/g;
    for (const [, name, value, , kind, storage] of text.matchAll(entry)) {
      const property = /(?:struct\.|this\._)(\w+)/.exec(value)[1];
      yield { name, property, kind, storage };
    }
  }

  block(interfaceName, text) {
    const declared = this.declared(interfaceName);
    const block = { attributes: {}, blocks: {} };
    for (const { name, property, kind, storage } of this.written(text)) {
      const where = `${this.type}.${name}`;
      const d = declared.get(property);
      if (!d) throw new Error(`${where}: ${interfaceName} does not declare ${property}`);
      declared.delete(property);
      const nested = new RegExp(`export interface ${d.interface} \\{`).test(this.dts) && d.interface;
      if (!nested) {
        block.attributes[name] = { type: attributeType(kind, storage, where), ...this.usage(name, d.required) };
        continue;
      }
      const body = this.block(nested, this.function(nested));
      const shape = { nesting: kind === "struct" ? "single" : kind, ...(d.required && { min: 1 }), ...(!d.many && kind !== "struct" && { max: 1 }), ...body };
      if (d.block) block.blocks[name] = shape;
      else block.attributes[name] = { ...this.usage(name, d.required), nested: shape };
    }
    for (const left of declared.keys()) {
      if (!META.has(left)) throw new Error(`${this.type}: ${interfaceName}.${left} is never written`);
    }
    if (Object.keys(block.blocks).length === 0) delete block.blocks;
    return block;
  }

  usage(name, required) {
    if (required) return { required: true };
    return filledIn.has(name) ? { optional: true, computed: true } : { optional: true };
  }

  function(interfaceName) {
    const name = interfaceName[0].toLowerCase() + interfaceName.slice(1) + "ToHclTerraform";
    return new RegExp(`\\nfunction ${name}\\(struct\\) \\{([\\s\\S]*?)\\n\\}`).exec(this.js)[1];
  }

  schema() {
    const body = this.js.slice(this.js.indexOf(`class ${this.resourceClass} extends`));
    const written = /synthesizeHclAttributes\(\) \{([\s\S]*?)\n    \}/.exec(body)[1];
    const block = this.block(this.resourceClass + "Config", written);
    for (const [, name, getter] of body.matchAll(/\/\/ (\w+) - computed: true, optional: false, required: false\n\s+get \w+\(\) \{\s+return (.+);/g)) {
      const kind = /this\.get(String|Number|Boolean|List|NumberList|StringMap)Attribute/.exec(getter)?.[1];
      const type = { String: "string", Number: "number", Boolean: "bool", List: ["list", "string"], NumberList: ["list", "number"], StringMap: ["map", "string"] }[kind];
      block.attributes[name] = { type: type ?? "dynamic", computed: true };
    }
    return block;
  }
}

function unpack() {
  if (process.argv[2]) return { directory: process.argv[2], clean() {} };
  const directory = mkdtempSync(join(tmpdir(), "provider-schema-"));
  const [{ filename }] = JSON.parse(execFileSync("npm", ["pack", "--json", PACKAGE], { cwd: directory, encoding: "utf8" }));
  execFileSync("tar", ["xzf", filename], { cwd: directory });
  return { directory: join(directory, "package"), clean: () => rmSync(directory, { recursive: true }) };
}

const { directory, clean } = unpack();
const { name, version, license } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
if (`${name}@${version}` !== PACKAGE) throw new Error(`${directory} holds ${name}@${version}, not ${PACKAGE}`);

const facts = { package: PACKAGE, license, provider: undefined, resources: {}, data_sources: {} };
const read = (into, prefix) => (kind) => {
  const source = new Source(directory, prefix + kind.replaceAll("_", "-"));
  facts.provider = source.provider;
  into[source.type.replace(/^data_/, "")] = source.schema();
};
RESOURCES.forEach(read(facts.resources, ""));
DATA_SOURCES.forEach(read(facts.data_sources, "data-aws-"));
clean();

const out = new URL("schema.json", import.meta.url);
const text = JSON.stringify(facts, null, 1).replace(/\{[^{}]+\}/g, (leaf) => leaf.replace(/\s+/g, " ")); // a line each
writeFileSync(out, text + "\n");
console.log(`${out.pathname}: provider ${facts.provider} by ${PACKAGE}`);
