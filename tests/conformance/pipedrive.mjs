// pipedrive, the vendor's own client, at the Pipedrive look-alike: it lists, reads and writes over API v2 and, where v2 has
// nothing, over v1. It rejects with the body of an answer alone and tries nothing again.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { v1, v2 } from "pipedrive";

import { CONTACTS, login, oauth, url } from "./sandbox.mjs";

const PATIENCE = { timeout: 120_000 };
const PAGE = 500;
const OVER_LIMIT = "Request over limit";
const NOBODY = 999_999_999;
const HOOK = "https://hooks.example/pipedrive";
const { token: apiKey } = login("pipedrive");
const basePath = `${url("pipedrive")}/api/v2`;

const connect = (Api, different = {}) => new Api(new v2.Configuration({ apiKey, basePath, ...different }));
/** What has no twin in v2; the bare path is the one that all of v1 answers under. */
const connectV1 = (Api) => new Api(new v1.Configuration({ apiKey, basePath: `${url("pipedrive")}/v1` }));

/** What a call answers, however often it must wait for that. */
async function patiently(ask) {
  for (;;) {
    const answer = await ask().catch((refusal) => refusal);
    if (answer.success === true) return answer;
    if (answer.error !== OVER_LIMIT) throw answer;
    await sleep(2_000);
  }
}

/** The body with which a call is refused, of whose status the client says nothing. */
async function refused(status, api, ask) {
  const statuses = [];
  api.axios.defaults.validateStatus = (one) => statuses.push(one) > 0 && one < 300;
  const body = await patiently(() => ask(api)).then(() => assert.fail("it was answered"), (refusal) => refusal);
  assert.deepEqual([statuses.at(-1), body.success], [status, false], JSON.stringify(body));
  return body;
}

/** Skips a check where the look-alike has no such path. */
async function orSkip(t, what, ask) {
  const answer = await patiently(ask).catch((refusal) => refusal);
  if (answer.error === "Path not found") return t.skip(`SKIPPED: the sandbox has no ${what}`);
  assert.ok(answer.success ?? answer.access_token, JSON.stringify(answer));
  return answer;
}

/** The pages of a list, each asked for with the same parameters. */
async function pages(list, parameters) {
  const found = [];
  const cursors = new Set();
  let cursor;
  do {
    const page = await patiently(() => list({ ...parameters, cursor }));
    found.push(page.data);
    cursor = page.additional_data?.next_cursor;
    assert.ok(!cursors.has(cursor), "a cursor came again");
    cursors.add(cursor);
  } while (cursor);
  return found;
}

const persons = (parameters) => pages((one) => connect(v2.PersonsApi).getPersons(one), parameters);
const organizations = (parameters) => pages((one) => connect(v2.OrganizationsApi).getOrganizations(one), parameters);
/** Some persons, `skip` from the first. */
const some = async (number, skip = 0) => (await patiently(() => connect(v2.PersonsApi).getPersons())).data.slice(skip, skip + number);
const person = async (id, more = {}) => (await patiently(() => connect(v2.PersonsApi).getPerson({ id, ...more }))).data;
const definitions = async () => (await patiently(() => connect(v2.PersonFieldsApi).getPersonFields({ limit: PAGE }))).data;
/** The code of a person field that the account named so. */
const code = async (name) => (await definitions()).find((field) => field.field_name === name).field_code;

const ids = (records) => records.map((record) => record.id);
const inOrder = (list) => [...new Set(list)].sort((one, other) => one - other);
const stamps = (records) => records.map((record) => record.update_time);
const later = (stamp, seconds) => new Date(Date.parse(stamp) + 1_000 * seconds).toISOString().replace(".000Z", "Z");

/** Whether these are everyone; another check may have merged two. */
function everyone(seen) {
  assert.ok(new Set(seen).size === seen.length && [CONTACTS, CONTACTS - 1].includes(seen.length), `${seen.length}`);
}

/** The stamp that most persons share. */
function busiest(records) {
  const counts = new Map();
  for (const stamp of stamps(records).filter(Boolean)) counts.set(stamp, (counts.get(stamp) ?? 0) + 1);
  return [...counts].sort((one, other) => other[1] - one[1])[0][0];
}

describe("persons", PATIENCE, () => {
  test("everyone is listed page by page in id order", async () => {
    const found = await persons({ limit: PAGE });
    const seen = ids(found.flat());
    assert.deepEqual(new Set(found.slice(0, -1).map((page) => page.length)), new Set([PAGE]));
    everyone(seen);
    assert.deepEqual(seen, inOrder(seen));
  });

  test("a hundred a page, by time, with ties and with persons that have none", async () => {
    const found = (await persons({ sort_by: "update_time", sort_direction: "asc", limit: 100 })).flat();
    everyone(ids(found));
    const times = stamps(found).filter(Boolean);
    assert.deepEqual(times, [...times].sort());
    assert.ok(new Set(times).size < times.length);
    const backwards = (await persons({ sort_by: "update_time", sort_direction: "desc", limit: PAGE })).flat();
    assert.deepEqual(ids(backwards), ids(found).reverse());
    const windowed = await persons({ updated_since: "1970-01-01T00:00:00Z", limit: PAGE });
    assert.equal(windowed.flat().length, times.length, "no window shows who has no time");
  });

  test("windows have their first second and not their last", async () => {
    const everybody = (await persons({ limit: PAGE })).flat();
    const tie = busiest(everybody);
    const tied = ids(everybody.filter((one) => one.update_time === tie));
    const sorted = { sort_by: "update_time", sort_direction: "asc" };
    const second = { updated_since: tie, updated_until: later(tie, 1), limit: 10, ...sorted };
    const found = await persons(second);
    assert.ok(found.length > 2 && found.slice(0, -1).every((page) => page.length === 10));
    assert.deepEqual(inOrder(ids(found.flat())), inOrder(tied));
    const before = (await persons({ ...sorted, updated_until: tie, limit: PAGE })).flat();
    const after = (await persons({ ...sorted, updated_since: tie, limit: PAGE })).flat();
    assert.ok(stamps(before).every((stamp) => stamp < tie) && stamps(after).every((stamp) => stamp >= tie));
    assert.equal(before.length + after.length, everybody.filter((one) => one.update_time).length);
  });

  test("a hundred are read by their ids, and whoever is missing is left out", async () => {
    const wanted = ids(await some(100));
    const list = (list) => persons({ ids: list.join(), limit: 100 }).then((found) => ids(found.flat()));
    assert.deepEqual(inOrder(await list([...wanted].reverse())), wanted);
    assert.deepEqual(inOrder(await list([NOBODY, ...wanted.slice(1)])), wanted.slice(1));
    await refused(400, connect(v2.PersonsApi), (api) => api.getPersons({ ids: [NOBODY, ...wanted].join() }));
  });

  test("one is shown alone as in the list", async () => {
    const [one] = await some(1, 10);
    assert.deepEqual(await person(one.id), one);
    await refused(404, connect(v2.PersonsApi), (api) => api.getPerson({ id: NOBODY }));
  });

  test("each has the types that the client declares", async () => {
    const kind = (value) => (Array.isArray(value) ? "array" : value === null ? "null" : typeof value);
    const declared = {
      id: "number", name: "string", first_name: "string", last_name: "string", owner_id: "number", org_id: "number",
      add_time: "string", update_time: "string", emails: "array", phones: "array", is_deleted: "boolean",
      visible_to: "number", label_ids: "array", picture_id: "number", custom_fields: "object",
    };
    for (const one of (await persons({ limit: PAGE })).flat()) {
      for (const [name, type] of Object.entries(declared)) assert.ok([type, "null"].includes(kind(one[name])), name);
      for (const time of [one.add_time, one.update_time]) assert.match(time ?? one.add_time, /^\d{4}-\d\d-\d\dT[\d:]{8}Z$/);
      for (const entry of [...one.emails, ...one.phones]) assert.equal(typeof entry.value, "string");
      assert.ok([...one.emails].filter((entry) => entry.primary).length <= 1);
    }
  });

  test("custom fields come as asked, fifteen at most", async () => {
    const key = await code("LinkedIn");
    const unknown = (number) => Array.from({ length: number }, (_, at) => String(at).padStart(40, "f"));
    const found = (await persons({ custom_fields: [key, ...unknown(14)].join(), limit: PAGE })).flat();
    assert.deepEqual(new Set(found.flatMap((one) => Object.keys(one.custom_fields ?? {}))), new Set([key]));
    assert.ok(found.some((one) => one.custom_fields?.[key]));
    const asked = { custom_fields: [key, ...unknown(15)].join() };
    await refused(400, connect(v2.PersonsApi), (api) => api.getPersons(asked));
  });

  test("labels and options are named where that is asked for", async () => {
    const fields = await definitions();
    const options = (field) => new Map(field.options.map((option) => [option.id, option.label]));
    const labels = options(fields.find((field) => field.field_code === "label_ids"));
    const language = fields.find((field) => field.field_name === "Language");
    const asked = { include_labels: true, include_option_labels: true, limit: 100 };
    const { data: named } = await patiently(() => connect(v2.PersonsApi).getPersons(asked));
    const plain = await some(100);
    for (const [at, one] of named.entries()) {
      assert.deepEqual(ids(one.labels), one.label_ids);
      for (const { id, label } of one.labels) assert.equal(label, labels.get(id));
      const option = one.custom_fields?.[language.field_code];
      assert.equal(option?.id ?? null, plain[at].custom_fields?.[language.field_code] ?? null);
      if (option) assert.equal(option.label, options(language).get(option.id));
    }
    assert.ok(named.some((one) => one.labels.length) && !plain.some((one) => "labels" in one));
  });

  test("optional fields are shown where they are asked for", async () => {
    const [one] = await some(1);
    assert.ok(!("notes_count" in one));
    const shown = await person(one.id, { include_fields: "notes_count,last_incoming_mail_time" });
    assert.ok("last_incoming_mail_time" in shown && Number.isInteger(shown.notes_count));
  });
});

describe("organizations", PATIENCE, () => {
  test("those of everyone are found by their ids, and their people by them", async () => {
    const everybody = (await persons({ limit: PAGE })).flat();
    const employers = inOrder(everybody.map((one) => one.org_id).filter(Boolean));
    const found = (await organizations({ ids: employers.slice(0, 100).join(), limit: 100 })).flat();
    assert.deepEqual(inOrder(ids(found)), employers.slice(0, 100));
    const [first] = found;
    const alone = await patiently(() => connect(v2.OrganizationsApi).getOrganization({ id: first.id }));
    assert.deepEqual(alone.data, first);
    const members = (await persons({ org_id: first.id })).flat();
    assert.deepEqual(ids(members), ids(everybody.filter((one) => one.org_id === first.id)));
  });

  test("they are listed by id, and by windows that tile", async () => {
    const all = (await organizations({ limit: PAGE })).flat();
    assert.deepEqual(ids(all), inOrder(ids(all)));
    const sorted = { sort_by: "update_time", sort_direction: "asc", limit: 100 };
    const middle = stamps(all).filter(Boolean).sort()[Math.floor(all.length / 2)];
    const halves = [{ updated_until: middle }, { updated_since: middle }].map((half) => organizations({ ...half, ...sorted }));
    const [before, after] = (await Promise.all(halves)).map((found) => found.flat());
    assert.ok(stamps(before).every((stamp) => stamp < middle) && stamps(after).every((stamp) => stamp >= middle));
    assert.equal(before.length + after.length, all.filter((one) => one.update_time).length);
    for (const { address } of all.filter((one) => one.address)) assert.ok("country" in address && "value" in address);
  });
});

describe("definitions", PATIENCE, () => {
  const apis = { person: v2.PersonFieldsApi, organization: v2.OrganizationFieldsApi };
  const list = (api, parameters) => (api.getPersonFields ?? api.getOrganizationFields).call(api, parameters);

  for (const [object, Api] of Object.entries(apis)) {
    test(`the fields of a ${object} come page by page`, async () => {
      const found = (await pages((one) => list(connect(Api), one), { limit: 5 })).flat();
      const { data } = await patiently(() => list(connect(Api), { limit: PAGE }));
      assert.deepEqual(found, data);
      const codes = data.map((field) => field.field_code);
      assert.equal(new Set(codes).size, codes.length);
      for (const field of data) {
        assert.ok([field.field_name, field.field_type].every((text) => typeof text === "string"));
        assert.equal(/^[0-9a-f]{40}$/.test(field.field_code), field.is_custom_field, field.field_code);
        assert.equal(Array.isArray(field.options), ["enum", "set", "visible_to"].includes(field.field_type), field.field_code);
      }
    });
  }

  test("one is told alone, and what the account shows of it", async () => {
    const { data } = await patiently(() => connect(v2.PersonFieldsApi).getPersonField({ field_code: "label_ids" }));
    assert.deepEqual([data.field_type, data.is_custom_field], ["set", false]);
    const asked = { include_fields: "ui_visibility,required_fields", limit: 1 };
    const [more] = (await patiently(() => connect(v2.PersonFieldsApi).getPersonFields(asked))).data;
    assert.ok(typeof more.ui_visibility === "object" && typeof more.required_fields.enabled === "boolean");
    const missing = (api) => api.getPersonField({ field_code: "0".repeat(40) });
    await refused(404, connect(v2.PersonFieldsApi), missing);
  });

  test("whose token it is, is told", async () => {
    const { data } = await patiently(() => connectV1(v1.UsersApi).getCurrentUser());
    assert.ok(Number.isInteger(data.company_id) && data.company_domain && data.timezone_name);
    const users = await patiently(() => connectV1(v1.UsersApi).getUsers());
    assert.ok(ids(users.data).includes(data.id));
  });
});

describe("writing", PATIENCE, () => {
  const write = (id, custom_fields) =>
    patiently(() => connect(v2.PersonsApi).updatePerson({ id, UpdatePersonRequest: { custom_fields } }));

  test("a custom field is read back, moves the time, and is cleared by null", async () => {
    const key = await code("Propstreet id");
    const [one] = await some(1, 20);
    const { data } = await write(one.id, { [key]: "4711" });
    assert.deepEqual([data.id, data.emails, data.custom_fields[key]], [one.id, one.emails, "4711"]);
    assert.ok(data.update_time > one.update_time);
    assert.deepEqual(await person(one.id), data);
    const changed = (await persons({ updated_since: data.update_time, limit: PAGE })).flat();
    assert.ok(ids(changed).includes(one.id));
    await write(one.id, { [key]: null });
    assert.equal((await person(one.id)).custom_fields?.[key] ?? null, null);
  });

  test("what is of another type, or of nobody, is refused", async () => {
    const key = await code("Propstreet id");
    const [one] = await some(1, 21);
    const asked = (id, custom_fields) => (api) => api.updatePerson({ id, UpdatePersonRequest: { custom_fields } });
    await refused(400, connect(v2.PersonsApi), asked(one.id, { [key]: 4711 }));
    await refused(404, connect(v2.PersonsApi), asked(NOBODY, { [key]: "4711" }));
    assert.deepEqual(await person(one.id), one);
  });

  test("of two that are merged the one in the path is gone", async (t) => {
    const [gone, survivor] = await some(2, 30);
    const asked = { id: gone.id, MergePersonsRequest: { merge_with_id: survivor.id } };
    const merged = await orSkip(t, "merge", () => connectV1(v1.PersonsApi).mergePersons(asked));
    if (!merged) return;
    assert.deepEqual([merged.data.id, merged.data.merge_what_id], [survivor.id, gone.id]);
    // The words and times of v1.
    assert.match(merged.data.update_time, /^\d{4}-\d\d-\d\d [\d:]{8}$/);
    assert.ok(Array.isArray(merged.data.email) && Array.isArray(merged.data.phone) && merged.data.active_flag);
    const left = (await persons({ ids: [gone.id, survivor.id].join() })).flat();
    assert.deepEqual(ids(left), [survivor.id]);
    assert.ok(left[0].update_time > survivor.update_time);
    const values = (record) => record.emails.map((email) => email.value).filter(Boolean);
    assert.ok([gone, survivor].flatMap(values).every((email) => values(left[0]).includes(email)));
  });
});

describe("webhooks", PATIENCE, () => {
  const hook = (different = {}) => {
    const asked = { subscription_url: HOOK, event_action: "*", event_object: "person", name: "ours", version: "2.0" };
    return { AddWebhookRequest: { ...asked, http_auth_user: "us", http_auth_password: "a word", ...different } };
  };

  test("one is made, listed and deleted", async (t) => {
    const webhooks = connectV1(v1.WebhooksApi);
    const made = await orSkip(t, "webhooks", () => webhooks.addWebhook(hook()));
    if (!made) return;
    const { id, ...shown } = made.data;
    const told = [shown.subscription_url, shown.event_action, shown.event_object, shown.version, shown.name];
    assert.deepEqual(told, [HOOK, "*", "person", "2.0", "ours"]);
    const listed = () => patiently(() => webhooks.getWebhooks());
    const before = await listed();
    assert.ok(ids(before.data).includes(id));
    const deleted = await patiently(() => webhooks.deleteWebhook({ id }));
    for (const answer of [made, before, deleted]) assert.equal(answer.status, "ok");
    assert.ok(!ids((await listed()).data).includes(id));
    const body = await refused(404, webhooks, () => webhooks.deleteWebhook({ id }));
    assert.deepEqual([body.status, body.errors], ["error", { id: ["not found"] }]);
  });

  test("one without a name, or on a path without protection, is refused", async (t) => {
    const webhooks = connectV1(v1.WebhooksApi);
    if (!await orSkip(t, "webhooks", () => webhooks.getWebhooks())) return;
    for (const [name, value] of [["name", undefined], ["subscription_url", "http://hooks.example/"]]) {
      const body = await refused(400, webhooks, () => webhooks.addWebhook(hook({ [name]: value })));
      assert.deepEqual([body.status, Object.keys(body.errors)], ["error", [name]]);
    }
  });
});

describe("tokens", PATIENCE, () => {
  const { client_id: clientId, client_secret: clientSecret, refresh_token } = oauth("pipedrive");
  const none = clientId ? {} : { skip: "SKIPPED: the sandbox has no OAuth" };
  const app = (different = {}) => {
    const host = url("pipedrive");
    const known = new v2.OAuth2Configuration({ clientId, clientSecret, host, redirectUri: "https://ours.example/", ...different });
    known.updateToken({ refresh_token });
    return known;
  };

  test("a refresh token opens the company, where the answer says that it is", none, async () => {
    const known = app();
    const token = await known.tokenRefresh();
    assert.match(token.token_type, /^bearer$/i);
    assert.ok(token.refresh_token && token.scope && [3_599, 3_600].includes(token.expires_in));
    const asked = { apiKey: undefined, accessToken: known.getAccessToken, basePath: known.basePath };
    const page = await patiently(() => connect(v2.PersonsApi, asked).getPersons({ limit: 1 }));
    assert.equal(page.data.length, 1);
  });

  test("a wrong refresh token, or a wrong client, is refused with words", none, async () => {
    const stranger = app();
    stranger.updateToken({ refresh_token: "1:1:0000000000000000000000000000000000000000" });
    for (const [client, words] of [[stranger, /refresh_token/], [app({ clientSecret: "wrong" }), /client/i]]) {
      const body = await client.tokenRefresh().then(() => assert.fail("it was answered"), (refusal) => refusal);
      assert.match(JSON.stringify(body), words);
    }
  });

  test("an access token that nobody gave out is refused", async () => {
    const stranger = connect(v2.PersonsApi, { apiKey: undefined, accessToken: "v1u:wrong" });
    const body = await refused(401, stranger, (api) => api.getPersons());
    assert.equal(body.error, "unauthorized access");
  });
});

describe("refusals", PATIENCE, () => {
  test("a wrong API token, and none", async () => {
    for (const wrong of ["0".repeat(40), undefined]) {
      const body = await refused(401, connect(v2.PersonsApi, { apiKey: wrong }), (api) => api.getPersons());
      assert.deepEqual([body.error, body.errorCode], ["unauthorized access", 401]);
    }
  });

  const mistakes = {
    "a fraction of a second": { updated_since: "2026-09-30T11:22:33.000Z" },
    "a time with a blank": { updated_until: "2026-09-30 11:22:33" },
    "more than 500 a page": { limit: PAGE + 1 },
    "an order that is none": { sort_by: "name" },
    "a text for a number": { org_id: "Nord" },
    "a number for a truth": { include_labels: 1 },
    "a cursor of its own": { cursor: "bm9uZQ" },
    "a field that is not optional": { include_fields: "name" },
  };
  for (const [name, parameters] of Object.entries(mistakes)) {
    test(name, async () => {
      const body = await refused(400, connect(v2.PersonsApi), (api) => api.getPersons(parameters));
      assert.equal(typeof body.error, "string");
    });
  }

  test("a burst, which is over in two seconds", async () => {
    const burst = Array.from({ length: 60 }, () => connect(v2.PersonsApi).getPersons({ limit: 1 }));
    const answers = await Promise.allSettled(burst);
    const reasons = answers.filter((answer) => answer.status === "rejected").map((answer) => answer.reason);
    assert.ok(reasons.length > 0 && reasons.length < answers.length);
    for (const body of reasons) assert.deepEqual([body.success, body.error], [false, OVER_LIMIT]);
    await sleep(2_100);
    assert.ok((await connect(v2.PersonsApi).getPersons({ limit: 1 })).success);
  });
});
