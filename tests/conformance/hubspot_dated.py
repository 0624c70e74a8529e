"""hubspot-sdk at the HubSpot look-alike: the same portal under the dated paths, with lists joined by commas. Its tokens
are left out: it asks for them in JSON, and the documentation wants a form."""

import unittest
from concurrent.futures import ThreadPoolExecutor

from hubspot_sdk import AuthenticationError, BadRequestError, HubSpot, NotFoundError, RateLimitError

import sandbox

PROPSTREET_ID = "propstreet_contact_id"
NOBODY = "1"
# Another check may have archived somebody.
EVERYONE = range(sandbox.CONTACTS - 1, sandbox.CONTACTS + 1)
EMPLOYER = ["associatedcompanyid"]


def connect(**different):
    login = {"access_token": sandbox.login("hubspot")["token"], "base_url": sandbox.url("hubspot")}
    return HubSpot(**{**login, "max_retries": 6, **different})


def some(client, number, skip=0, **what):
    """Some contacts, `skip` from the first."""
    return client.crm.objects.contacts.list(limit=100, **what).results[skip:skip + number]


def ids(page):
    return [record.id for record in page.results]


class Reading(unittest.TestCase):
    def test_it_finds_the_next_page_by_itself(self):
        seen = [contact.id for contact in connect().crm.objects.contacts.list(limit=100)]
        self.assertIn(len(set(seen)), EVERYONE)
        self.assertEqual(seen, sorted(set(seen), key=int))

    def test_lists_joined_by_commas_are_taken(self):
        client = connect()
        answer = client.crm.objects.contacts.with_raw_response.list(
            limit=100, properties=["email", "jobtitle", *EMPLOYER], associations=["companies"])
        self.assertIn("properties=email%2Cjobtitle%2C", str(answer.http_request.url))
        for contact in answer.parse().results:
            employer = contact.properties["associatedcompanyid"]
            self.assertLessEqual({"email", "jobtitle", "hs_object_id"}, set(contact.properties))
            named = contact.associations["companies"].results if contact.associations else []
            self.assertEqual({company.id for company in named if company.type == "contact_to_company"},
                             {employer} if employer else set())

    def test_a_keyset_walk_meets_everyone_once(self):
        client, seen = connect(), []
        while True:
            after_whom = {"propertyName": "hs_object_id", "operator": "GT", "value": seen[-1] if seen else "0"}
            page = client.crm.objects.contacts.search(
                filter_groups=[{"filters": [after_whom]}], sorts=["hs_object_id"], limit=200, after="0",
                properties=["lastmodifieddate"])
            if not page.results:
                break
            seen += ids(page)
        self.assertIn(len(set(seen)), EVERYONE)
        self.assertEqual(seen, sorted(set(seen), key=int))

    def test_missing_ids_are_named_beside_what_was_found(self):
        client = connect()
        [contact] = some(client, 1)
        answer = client.crm.objects.contacts.batch.with_raw_response.get(
            inputs=[{"id": NOBODY}, {"id": contact.id}], properties=["email"], properties_with_history=[])
        batch = answer.parse()
        self.assertEqual((answer.http_response.status_code, ids(batch), batch.status), (207, [contact.id], "COMPLETE"))
        [error] = answer.http_response.json()["errors"]
        self.assertEqual((error["category"], error["context"]["ids"]), ("OBJECT_NOT_FOUND", [NOBODY]))

    def test_companies_of_contacts_come_in_one_batch(self):
        client = connect()
        employers = {one.id: one.properties["associatedcompanyid"] for one in some(client, 100, properties=EMPLOYER)}
        batch = client.crm.associations.batch.get(
            from_object_type="contacts", to_object_type="companies", inputs=[{"id": id} for id in employers])
        primary = {result.from_.id: str(company.to_object_id) for result in batch.results for company in result.to
                   if 1 in [kind.type_id for kind in company.association_types]}
        self.assertEqual(primary, {id: company for id, company in employers.items() if company})
        companies = client.crm.objects.companies.batch.get(
            inputs=[{"id": id} for id in set(primary.values())], properties=["name"], properties_with_history=[])
        self.assertEqual(set(ids(companies)), set(primary.values()))

    def test_definitions_and_the_account_are_told(self):
        client = connect()
        known = {one.name: one.type for one in client.crm.properties.list("contacts").results}
        self.assertEqual((known["email"], known["lifecyclestage"]), ("string", "enumeration"))
        account = client.account.get()
        self.assertIsInstance(account.portal_id, int)
        self.assertTrue(account.time_zone)
        self.assertTrue(client.account.get_daily_private_apps_usage().results[0].usage_limit)


class Writing(unittest.TestCase):
    def test_a_batch_is_read_back(self):
        client = connect()
        chosen = [contact.id for contact in some(client, 10, skip=20)]
        batch = client.crm.objects.contacts.batch.update(
            inputs=[{"id": id, "properties": {PROPSTREET_ID: f"20{id}"}} for id in chosen])
        self.assertEqual(sorted(ids(batch)), sorted(chosen))
        after = client.crm.objects.contacts.get(chosen[3], properties=[PROPSTREET_ID])
        self.assertEqual(after.properties[PROPSTREET_ID], f"20{chosen[3]}")

    def test_a_repeated_id_refuses_them_all(self):
        client = connect()
        [contact] = some(client, 1, skip=40)
        row = {"id": contact.id, "properties": {PROPSTREET_ID: "1"}}
        with self.assertRaises(BadRequestError) as refused:
            client.crm.objects.contacts.batch.update(inputs=[row, row])
        self.assertEqual(refused.exception.body["category"], "VALIDATION_ERROR")

    def test_whoever_is_archived_is_in_the_other_list(self):
        client = connect()
        [contact] = some(client, 1, skip=50)
        client.crm.objects.contacts.delete(contact.id)
        with self.assertRaises(NotFoundError):
            client.crm.objects.contacts.get(contact.id)
        self.assertIn(contact.id, [one.id for one in some(client, 100, archived=True) if one.archived_at])


class Refusals(unittest.TestCase):
    def test_a_wrong_token_is_refused(self):
        with self.assertRaises(AuthenticationError) as refused:
            connect(access_token="wrong").crm.objects.contacts.list()
        self.assertEqual(refused.exception.body["category"], "EXPIRED_AUTHENTICATION")

    def test_a_burst_of_searches_is_refused_and_tried_again(self):
        def burst(client):
            def search(_):
                try:
                    return client.crm.objects.contacts.search(
                        filter_groups=[], sorts=[], limit=1, after="0", properties=[])
                except RateLimitError as refused:
                    return refused

            with ThreadPoolExecutor(4) as pool:
                return list(pool.map(search, range(12)))

        refused = [one for one in burst(connect(max_retries=0)) if isinstance(one, RateLimitError)]
        self.assertTrue(refused)
        self.assertEqual({one.body["policyName"] for one in refused}, {"SECONDLY"})
        self.assertTrue(all(one.results for one in burst(connect())))


if __name__ == "__main__":
    unittest.main(verbosity=2)
