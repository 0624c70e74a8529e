// Where `propsync sandbox` listens, and what it lets in: the JSON it printed and the configuration that JSON names.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

export const CONTACTS = Number(process.env.SANDBOX_CONTACTS);
const printed = JSON.parse(readFileSync(process.env.SANDBOX_JSON, "utf8")).result;
const config = readFileSync(printed.config, "utf8");

/** Where a look-alike listens: http://127.0.0.1:PORT. */
export function url(upstream) {
  return printed.upstreams.find((listener) => listener.name === upstream).base_url;
}

/** What the configuration has in `auth` for a source: kind, client_id, client_secret, token, … */
export function login(source) {
  const section = config.split(`[sources.${source}]`)[1];
  const line = section.match(/^auth = .*$/m)[0];
  return Object.fromEntries([...line.matchAll(/(\w+) = "([^"]*)"/g)].map(([, name, value]) => [name, value]));
}

/**
 * The client_id, client_secret and first refresh_token that an upstream's OAuth knows, which stand in the sources of
 * its look-alike.
 */
export function oauth(upstream) {
  const folder = join(process.env.SANDBOX_SOURCES, upstream);
  const sources = readdirSync(folder).filter((name) => name.endsWith(".rs"));
  const text = sources.map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
  const known = text.matchAll(/const (CLIENT_ID|CLIENT_SECRET|REFRESH_TOKEN): &str = "([^"]+)"/g);
  return Object.fromEntries([...known].map(([, name, value]) => [name.toLowerCase(), value]));
}
