// A client of milepost agent (docs/agent-protocol.md), and the replay of the conversations in
// test/vectors/agent with it: node client.mjs BINARY CONVERSATION.json…
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export class Agent {
  #waiting = new Map(); // id → the reply's promise
  #id = 0;
  #over = false; // the agent has ended and answers nothing more
  onEvent = () => {};
  onLine = (line) => this.#take(JSON.parse(line));

  constructor(binary, args = [], env = process.env) {
    this.process = spawn(binary, ["agent", ...args], { env, stdio: ["pipe", "pipe", "inherit"] });
    this.process.stdin.on("error", () => {}); // the end of the agent reports the same
    this.exited = once(this.process, "exit").then(([code]) => code);
    const lines = createInterface({ input: this.process.stdout, crlfDelay: Infinity });
    lines.on("line", (line) => this.onLine(line));
    this.ended = once(lines, "close").then(() => {
      this.#over = true;
      for (const { reject } of this.#waiting.values()) reject(new Error("the agent has ended"));
    });
  }

  // write sends a line. A caller that writes more than the pipe holds should await the promise.
  async write(line) {
    const { stdin } = this.process;
    if (!stdin.write(line + "\n")) await Promise.race([once(stdin, "drain").catch(() => {}), this.ended]);
  }

  // call sends a request and returns its result, or throws its error.
  call(method, fields = {}) {
    if (this.#over) return Promise.reject(new Error("the agent has ended"));
    const id = ++this.#id;
    const reply = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.write(JSON.stringify({ id, method, ...fields }));
    return reply;
  }

  mark(session, cursor, fields = {}) {
    return this.write(JSON.stringify({ method: "mark", session, cursor, ...fields }));
  }

  #take(message) {
    if (message.event || message.id === null) return this.onEvent(message);
    const { resolve, reject } = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.error) reject(Object.assign(new Error(message.error.error), message.error));
    else resolve(message.result);
  }
}

// differs returns how a value differs from a pattern; undefined: it matches.
function differs(pattern, got, set) {
  const no = `want ${JSON.stringify(pattern)}, got ${JSON.stringify(got)}`;
  if (typeof pattern === "string" && pattern[0] === "$") {
    const name = pattern.slice(1);
    if (name.startsWith("set ")) return void (set[name.slice(4)] = got);
    const is = { any: true, int: Number.isInteger(got), string: typeof got === "string" && got !== "", time: !isNaN(Date.parse(got)) };
    return (is[name] ?? (name in set && set[name] === got)) ? undefined : no;
  }
  if (pattern === null || typeof pattern !== "object") return pattern === got ? undefined : no;
  if (got === null || typeof got !== "object" || Array.isArray(pattern) !== Array.isArray(got)) return no;
  if (Array.isArray(pattern) && pattern.length !== got.length) return no;
  for (const [name, want] of Object.entries(pattern)) {
    const why = want === "$absent" ? name in got && "present" : name in got ? differs(want, got[name], set) : "absent";
    if (why) return `${name}: ${why}`;
  }
}

async function replay(binary, conversation, env) {
  const set = {};
  let agent, kept, arrived;
  const start = (args) => {
    [agent, kept] = [new Agent(binary, args, env), []];
    agent.onLine = (line) => { kept.push(line); arrived?.(); };
  };
  const gone = () => agent.ended.then(() => { if (kept.length) throw new Error(`not expected: ${kept}`); agent.gone = true; });
  const named = (text) => text.replace(/\$[a-z]+/g, (name) => JSON.stringify(set[name.slice(1)]));
  const about = (message, pattern) => ("event" in pattern ? message.event === pattern.event : "id" in message && message.id === pattern.id);
  const expect = async ({ expect: pattern, text = [] }) => {
    for (const deadline = Date.now() + 10e3; ; ) {
      const i = kept.findIndex((line) => about(JSON.parse(line), pattern));
      if (i >= 0) {
        const [line] = kept.splice(i, 1);
        const why = differs(pattern, JSON.parse(line), set) ?? text.find((piece) => !line.includes(piece));
        if (why) throw new Error(`${why} in ${line}`);
        return;
      }
      if (Date.now() > deadline) throw new Error(`nothing came for ${JSON.stringify(pattern)}`);
      await new Promise((resolve) => { arrived = resolve; setTimeout(resolve, 100); });
    }
  };
  const end = async (code) => {
    agent.process.stdin.end();
    await gone();
    if ((await agent.exited) !== code) throw new Error(`the agent exits with ${await agent.exited}`);
  };
  if (!conversation.steps[0].start) start([]);
  for (const [i, step] of conversation.steps.entries()) {
    try {
      if (step.start) start(step.start);
      else if (step.send) await agent.write(JSON.stringify(step.send, (_, v) => (typeof v === "string" && v[0] === "$" ? set[v.slice(1)] : v)));
      else if ("send_line" in step) await agent.write(named(step.send_line));
      else if (step.send_long) await agent.write(named(step.send_long.head) + step.send_long.fill.repeat(step.send_long.times) + step.send_long.tail);
      else if (step.expect) await expect(step);
      else if (step.kill) { agent.process.kill("SIGKILL"); await gone(); }
      else if (step.run) {
        const { status, stdout, stderr } = spawnSync(binary, step.run, { env, encoding: "utf8" });
        const why = status !== (step.exit ?? 0) ? `exit ${status}: ${stderr}` : step.stdout && differs(step.stdout, JSON.parse(stdout), set);
        if (why) throw new Error(why);
      } else await end(step.end);
    } catch (err) {
      throw new Error(`step ${i + 1}: ${err.message}`);
    }
  }
  if (!agent.gone) await end(0);
}

if (process.argv[1] === import.meta.filename) {
  const [binary, ...files] = process.argv.slice(2);
  for (const file of files) {
    const dir = mkdtempSync(join(tmpdir(), "agentclient-"));
    await replay(binary, JSON.parse(readFileSync(file)), { ...process.env, MILEPOST_STORE: "sqlite:" + join(dir, "jobs.db") })
      .then(() => console.log(`passed ${file}`), (err) => { console.log(`failed ${file}: ${err.message}`); process.exit(1); });
    rmSync(dir, { recursive: true });
  }
}
