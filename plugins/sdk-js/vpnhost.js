// What a plugin in JavaScript needs beside its answers: describe and configure, and a line in the log for each mistake.
//
//     export const { describe, configure, rankPaths } = plugin({
//       name: "name", version: "0.1.0", summary: "what it does",
//       settings: { metered: flag("...", true) },
//       rankPaths(menu, settings) { ... },
//     });
//
// A function is the answer to the question of its name. It gets the question and the operator's settings, and returns
// the answer, or null to abstain. Which questions there are, and what an answer is made of, stands in wit/: names in
// camelCase, an option is null or the value, a variant is { tag, val }, every number is a Number.

import host from "vpnhost:policy/log@0.1.0";

// In the order of their numbers where they cross.
const KINDS = ["text", "integer", "number", "flag", "texts"];

const setting = (kind) => (summary, value = null, required = false) => ({ kind, summary, value, required });

// Settings: what each does, its value where the operator says nothing, whether it must be given.
export const text = setting("text");
export const integer = setting("integer");
export const number = setting("number");
export const flag = setting("flag");
export const texts = setting("texts");

/** Writes a line to the host's log: trace, debug, info, warn or error. */
export function log(message, level = "info") {
  host.write(level, String(message));
}

/** Returns what `check` throws when a setting is wrong; the operator reads it. */
export function problem(key, what) {
  return [{ key, problem: what }];
}

/**
 * Returns describe, configure and the answers, as the component model wants them.
 *
 * `check` looks at the settings before they are taken, may change them, and throws a `problem`.
 */
export function plugin({ name, version, summary, settings = {}, check = null, ...answers }) {
  const taken = Object.fromEntries(Object.entries(settings).map(([key, spec]) => [key, spec.value]));
  const box = {
    describe: {
      describe: told("describe", () => ({
        name,
        version,
        summary,
        answers: Object.keys(answers).map((answer) => answer.replace(/[A-Z]/g, (it) => `-${it.toLowerCase()}`)),
        settings: Object.entries(settings).map(([key, spec]) => ({
          key,
          kind: KINDS.indexOf(spec.kind),
          required: spec.required,
          summary: spec.summary,
        })),
      })),
    },
    configure: {
      configure: told("configure", (given) => {
        Object.assign(taken, accepted(given, settings));
        check?.(taken);
      }),
    },
  };
  for (const [answer, decide] of Object.entries(answers)) {
    box[answer] = { [answer]: told(answer, (question) => decide(question, taken) ?? null) };
  }
  return box;
}

function accepted(given, specs) {
  const known = Object.keys(specs);
  const values = {};
  const problems = [];
  for (const { key, value } of given) {
    const spec = specs[key];
    if (!Object.hasOwn(specs, key)) {
      const takes = known.length > 0 ? known.join(", ") : "no settings";
      problems.push({ key, problem: `is unknown: this plugin takes ${takes}` });
    } else if (value.tag !== spec.kind && !(value.tag === "integer" && spec.kind === "number")) {
      problems.push({ key, problem: `must be ${spec.kind}` });
    } else {
      values[key] = value.val;
    }
  }
  for (const key of known.filter((it) => specs[it].required && !given.some((setting) => setting.key === it))) {
    problems.push({ key, problem: "is required" });
  }
  if (problems.length > 0) throw problems;
  return values;
}

/** Writes a mistake to the log before it ends the call: the engine has no console to print it to. */
function told(name, call) {
  return (...given) => {
    try {
      return call(...given);
    } catch (mistake) {
      if (mistake instanceof Error) {
        const at = (mistake.stack ?? "").trim().split("\n")[0].trim();
        log(`${name}: ${mistake.name}: ${mistake.message} (${at})`, "error");
      }
      throw mistake;
    }
  };
}
