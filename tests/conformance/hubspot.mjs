// @hubspot/api-client at the HubSpot look-alike: it lists, searches, reads in batches and writes as in a portal, and its
// own retries know the look-alike's refusals for what they are.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Client, Signature } from "@hubspot/api-client";

import { CONTACTS, login, oauth, url } from "./sandbox.mjs";

const PATIENCE = { timeout: 120_000 };
const LIST_PAGE = 100;
const SEARCH_PAGE = 200;
const PROPSTREET_ID = "propstreet_contact_id";
const EMPLOYER = ["associatedcompanyid"];
const NOBODY = "1";
const { token: accessToken } = login("hubspot");

/** A client that tries again as its own rules say; it sets them for all clients at once. */
function connect(different = {}) {
  return new Client({ accessToken, basePath: url("hubspot"), numberOfApiCallRetries: 6, ...different });
}

/** Some contacts, `skip` from the first. */
async function some(hubspot, number, { skip = 0, properties, associations, archived } = {}) {
  const api = hubspot.crm.contacts.basicApi;
  const page = await api.getPage(LIST_PAGE, undefined, properties, undefined, associations, archived);
  return page.results.slice(skip, skip + number);
}

const ids = (records) => records.map((record) => record.id);
const inOrder = (list) => [...new Set(list)].sort((one, other) => one - other);
const search = (filters, more = {}) => ({ filterGroups: [{ filters }], limit: SEARCH_PAGE, ...more });
const filter = (propertyName, operator, value) => ({ propertyName, operator, value });

/** Whether these are everyone; another check may have archived somebody. */
function everyone(seen) {
  assert.ok(new Set(seen).size === seen.length && [CONTACTS, CONTACTS - 1].includes(seen.length), `${seen.length}`);
}

/** The statuses for which the client tried again, and how long it would wait, as it says itself. */
function retries(t) {
  const said = t.mock.method(console, "error", () => {});
  return () => said.mock.calls.map((call) => String(call.arguments[0]).match(/\d+/g).map(Number));
}

describe("reading", PATIENCE, () => {
  test("everyone is listed page by page in id order", async () => {
    const hubspot = connect();
    const [pages, seen] = [[], []];
    let after;
    do {
      const page = await hubspot.crm.contacts.basicApi.getPage(LIST_PAGE, after);
      pages.push(page.results.length);
      seen.push(...ids(page.results));
      after = page.paging?.next?.after;
      for (const contact of page.results) {
        assert.equal(contact.properties.hs_object_id, contact.id);
        assert.equal(contact.updatedAt.toISOString(), contact.properties.lastmodifieddate);
      }
    } while (after);
    assert.deepEqual(new Set(pages.slice(0, -1)), new Set([LIST_PAGE]));
    everyone(seen);
    assert.deepEqual(seen, inOrder(seen));
  });

  test("getAll finds the next page by itself", async () => {
    const hubspot = connect();
    everyone(ids(await hubspot.crm.contacts.getAll()));
    const companies = await hubspot.crm.companies.getAll(undefined, undefined, ["name"]);
    assert.ok(companies.length > 0 && companies.every((company) => company.properties.name));
  });

  test("properties and associations come as asked", async () => {
    const hubspot = connect();
    const properties = ["email", "mobilephone", "no_such_property", ...EMPLOYER];
    const known = ["associatedcompanyid", "createdate", "email", "hs_object_id", "lastmodifieddate", "mobilephone"];
    const contacts = await some(hubspot, 100, { properties, associations: ["companies"], archived: false });
    for (const contact of contacts) {
      assert.deepEqual(Object.keys(contact.properties).sort(), known);
      const employer = contact.properties.associatedcompanyid;
      const types = employer ? ["contact_to_company", "contact_to_company_unlabeled"] : [];
      const named = contact.associations?.companies.results.filter((company) => company.id === employer) ?? [];
      assert.deepEqual(named.map((company) => company.type), types);
    }
    const joined = { properties: "email,mobilephone,associatedcompanyid", limit: 100 };
    const listed = await hubspot.apiRequest({ path: "/crm/v3/objects/contacts", qs: joined });
    const { results } = await listed.json();
    assert.deepEqual(results.map((one) => one.properties), contacts.map((one) => one.properties));
  });

  test("whoever is archived is in the other list alone", async () => {
    const hubspot = connect();
    const [contact] = await some(hubspot, 1, { skip: 50 });
    await hubspot.crm.contacts.basicApi.archive(contact.id);
    const [binned] = (await some(hubspot, 100, { archived: true })).filter((one) => one.id === contact.id);
    assert.ok(binned.archived && binned.archivedAt > contact.updatedAt);
    assert.deepEqual(binned.updatedAt, contact.updatedAt);
    assert.ok(!ids(await some(hubspot, 100)).includes(contact.id));
    const gone = hubspot.crm.contacts.basicApi.getById(contact.id);
    await assert.rejects(gone, ({ code, body }) => code === 404 && body.category === "OBJECT_NOT_FOUND");
  });

  test("missing ids are named beside what was found", async () => {
    const hubspot = connect();
    const [contact] = await some(hubspot, 1);
    const inputs = [{ id: NOBODY }, { id: contact.id }];
    const asked = { inputs, properties: ["email"], propertiesWithHistory: [] };
    const batch = await hubspot.crm.contacts.batchApi.read(asked);
    assert.deepEqual(ids(batch.results), [contact.id]);
    assert.equal(batch.numErrors, 1);
    assert.equal(batch.errors[0].category, "OBJECT_NOT_FOUND");
    assert.deepEqual(batch.errors[0].context.ids, [NOBODY]);
  });

  test("companies of contacts come with their types", async () => {
    const hubspot = connect();
    const contacts = await some(hubspot, 100, { properties: EMPLOYER });
    const employers = new Map(contacts.map((one) => [one.id, one.properties.associatedcompanyid]));
    const inputs = [NOBODY, ...employers.keys()].map((id) => ({ id }));
    const batch = await hubspot.crm.associations.v4.batchApi.getPage("contacts", "companies", { inputs });
    const primary = new Map();
    for (const result of batch.results) {
      for (const company of result.to) {
        const types = company.associationTypes.map((type) => [type.category, type.typeId, type.label].join());
        assert.ok(types.includes("HUBSPOT_DEFINED,279,"));
        if (types.includes("HUBSPOT_DEFINED,1,Primary")) primary.set(result._from.id, String(company.toObjectId));
      }
    }
    assert.deepEqual(primary, new Map([...employers].filter(([, company]) => company)));
    const alone = [NOBODY, ...[...employers].filter(([, company]) => !company).map(([id]) => id)];
    assert.deepEqual(inOrder(batch.errors.flatMap((error) => error.context.fromObjectId)), inOrder(alone));
    for (const error of batch.errors) assert.equal(error.subCategory, "crm.associations.NO_ASSOCIATIONS_FOUND");
    const asked = { inputs: [...new Set(primary.values())].map((id) => ({ id })), properties: ["name"] };
    const companies = await hubspot.crm.companies.batchApi.read({ ...asked, propertiesWithHistory: [] });
    assert.ok(companies.results.length === asked.inputs.length);
    assert.ok(companies.results.every((company) => company.properties.name));
  });

  test("definitions and the account are told", async () => {
    const hubspot = connect();
    const { results } = await hubspot.crm.properties.coreApi.getAll("contacts");
    const type = (name) => results.find((property) => property.name === name)?.type;
    assert.deepEqual(["email", "lifecyclestage", "lastmodifieddate", "hs_object_id", PROPSTREET_ID].map(type),
      ["string", "enumeration", "datetime", "number", "string"]);
    const account = await (await hubspot.apiRequest({ path: "/account-info/v3/details" })).json();
    assert.ok(Number.isInteger(account.portalId) && account.timeZone);
  });
});

describe("searching", PATIENCE, () => {
  test("a keyset walk meets everyone once", async (t) => {
    retries(t);
    const { searchApi } = connect().crm.contacts;
    const seen = [];
    for (let last = "0", page; page?.results.length !== 0; last = seen.at(-1)) {
      const filters = [filter("lastmodifieddate", "GTE", "1000"), filter("hs_object_id", "GT", last)];
      page = await searchApi.doSearch(search(filters, { sorts: ["hs_object_id"], properties: ["hs_object_id"] }));
      seen.push(...ids(page.results));
    }
    everyone(seen);
    assert.deepEqual(seen, inOrder(seen));
  });

  test("offsets lead to the end, and end at their reach", async (t) => {
    retries(t);
    const { searchApi } = connect().crm.contacts;
    const seen = [];
    let after;
    do {
      const page = await searchApi.doSearch({ limit: SEARCH_PAGE, after });
      seen.push(...ids(page.results));
      after = page.paging?.next?.after;
    } while (after);
    everyone(seen);
    const past = searchApi.doSearch({ limit: SEARCH_PAGE, after: "10000" });
    await assert.rejects(past, ({ code, body }) => code === 400 && body.category === "VALIDATION_ERROR");
  });

  test("the modified date has another name on each object", async (t) => {
    retries(t);
    const { contacts, companies } = connect().crm;
    const total = async (api, name) => (await api.doSearch(search([filter(name, "GTE", "1000")]))).total;
    assert.ok(await total(contacts.searchApi, "lastmodifieddate"));
    assert.equal(await total(contacts.searchApi, "hs_lastmodifieddate"), 0);
    assert.ok(await total(companies.searchApi, "hs_lastmodifieddate"));
  });
});

describe("writing", PATIENCE, () => {
  test("a batch is read back and moves the stamp once", async () => {
    const { basicApi, batchApi } = connect().crm.contacts;
    const contacts = await some(connect(), 20, { skip: 60 });
    const inputs = contacts.map(({ id }) => ({ id, properties: { [PROPSTREET_ID]: `30${id}` } }));
    const written = await batchApi.update({ inputs });
    const stamps = (batch) => new Map(batch.results.map((one) => [one.id, one.updatedAt.getTime()]));
    assert.deepEqual(inOrder(ids(written.results)), inOrder(ids(contacts)));
    assert.ok(contacts.every((one) => stamps(written).get(one.id) > one.updatedAt.getTime()));
    assert.deepEqual(stamps(await batchApi.update({ inputs })), stamps(written));
    const read = await basicApi.getById(inputs[7].id, [PROPSTREET_ID]);
    assert.equal(read.properties[PROPSTREET_ID], inputs[7].properties[PROPSTREET_ID]);
  });

  test("a missing id spoils no other, a repeated one all", async () => {
    const hubspot = connect();
    const [contact] = await some(hubspot, 1, { skip: 90 });
    const input = (id, value) => ({ id, properties: { [PROPSTREET_ID]: value } });
    const update = (...inputs) => hubspot.crm.contacts.batchApi.update({ inputs });
    const batch = await update(input(NOBODY, "1"), input(contact.id, "2"));
    assert.deepEqual([ids(batch.results), batch.errors[0].context.ids], [[contact.id], [NOBODY]]);
    const refused = update(input(contact.id, "3"), input(contact.id, "4"));
    await assert.rejects(refused, ({ code, body }) => code === 400 && body.category === "VALIDATION_ERROR");
    const read = await hubspot.crm.contacts.basicApi.getById(contact.id, [PROPSTREET_ID]);
    assert.equal(read.properties[PROPSTREET_ID], "2");
  });
});

describe("refusals", PATIENCE, () => {
  test("a wrong token is called expired since 1970, none is called none", async () => {
    for (const [token, category] of [["wrong", "EXPIRED_AUTHENTICATION"], [undefined, "INVALID_AUTHENTICATION"]]) {
      const asked = connect({ accessToken: token }).crm.contacts.basicApi.getPage();
      await assert.rejects(asked, ({ code, body }) => code === 401 && body.category === category);
    }
  });

  test("a burst of searches is tried again a second later", async (t) => {
    const tried = retries(t);
    const burst = (hubspot) => Array.from({ length: 12 }, () => hubspot.crm.contacts.searchApi.doSearch({ limit: 1 }));
    const answers = await Promise.allSettled(burst(connect({ numberOfApiCallRetries: 0 })));
    const refused = answers.filter((answer) => answer.status === "rejected").map((answer) => answer.reason);
    assert.ok(refused.length > 0);
    for (const { code, body } of refused) assert.deepEqual([code, body.policyName], [429, "SECONDLY"]);
    assert.deepEqual(tried(), []);
    for (const page of await Promise.all(burst(connect()))) assert.equal(page.results.length, 1);
    assert.ok(tried().length > 0 && tried().every(([status, , wait]) => status === 429 && wait === 1_000));
  });

  test("too many requests in ten seconds are tried again ten seconds later", async (t) => {
    const tried = retries(t);
    const { coreApi } = connect().crm.properties;
    for (let round = 0; round < 5 && tried().length === 0; round += 1) {
      await Promise.all(Array.from({ length: 50 }, () => coreApi.getByName("contacts", "email")));
    }
    assert.ok(tried().length > 0 && tried().every(([status, , wait]) => status === 429 && wait === 10_000));
  });
});

describe("tokens", PATIENCE, () => {
  const refresh = (token) => {
    const { client_id: id, client_secret: secret } = oauth("hubspot");
    const { tokensApi } = connect({ accessToken: undefined }).oauth;
    return tokensApi.create("refresh_token", undefined, undefined, id, secret, token);
  };

  test("a refresh token opens the portal", async () => {
    const token = await refresh(oauth("hubspot").refresh_token);
    assert.deepEqual([token.tokenType, token.expiresIn], ["bearer", 1800]);
    assert.equal((await some(connect({ accessToken: token.accessToken }), 1)).length, 1);
  });

  test("a revoked refresh token is refused for good", async () => {
    const refused = refresh("00000000-0000-4000-8000-000000000000");
    await assert.rejects(refused, ({ code, body }) => code === 400 && body.status === "BAD_REFRESH_TOKEN");
  });
});

describe("signatures", () => {
  test("version 3", () => {
    const request = {
      clientSecret: "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy", url: "https://www.example.com/webhook_uri",
      requestBody: '{"example_field":"example_value"}', timestamp: 1_700_000_000_000,
    };
    const signature = Signature.getSignature("POST", "v3", request);
    const { url, requestBody, timestamp, clientSecret } = request;
    console.log(`POST ${url} ${requestBody} at ${timestamp} with ${clientSecret}: ${signature}`);
    assert.equal(signature, "rQEKkaNUiu+1qGF//O/pw4BCzstSqO1PyUnGICmf+7o=");
  });
});
