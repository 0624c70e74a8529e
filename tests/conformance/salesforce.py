"""simple-salesforce at the Salesforce look-alike: it logs in, reads, writes and is refused as it would be by an org."""

import csv
import io
import pathlib
import re
import unittest
import warnings
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceGeneralError,
    SalesforceMalformedRequest,
    SalesforceResourceNotFound,
)

import sandbox

MY_DOMAIN = "sandbox.my"
VERSION = "66.0"
PAGE = 2000
PATIENCE = 60
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
PROPSTREET_ID = "Propstreet_Contact_Id__c"
EVERYONE = "SELECT Id, LastName, Email, Account.Name, SystemModstamp FROM Contact"


class Loopback(HTTPAdapter):
    """simple-salesforce speaks to https://*.salesforce.com alone. Whatever it asks there is asked of the look-alike,
    under the name it was asked for; nothing leaves this machine."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def send(self, request, *arguments, **options):
        host = urlsplit(request.url).netloc
        request.headers["Host"] = host
        request.url = request.url.replace(f"https://{host}", sandbox.url("salesforce"), 1)
        self.asked.append(f"{request.method} {urlsplit(request.url).path}")
        return super().send(request, *arguments, **{**options, "timeout": PATIENCE})

    def count(self, request):
        return sum(asked.startswith(request) for asked in self.asked)


def connect(**credentials):
    """A client, and the adapter that saw its requests."""
    loopback = Loopback()
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", loopback)
    return Salesforce(version=VERSION, session=session, **credentials), loopback


def log_in(**different):
    login = sandbox.login("salesforce")
    credentials = {"consumer_key": login["client_id"], "consumer_secret": login["client_secret"], "domain": MY_DOMAIN}
    return connect(**{**credentials, **different})


def signer():
    """The one user who may log in with a signed assertion, and the key: both stand in the look-alike's sources."""
    sources = pathlib.Path(__file__).parents[2] / "src" / "sandbox"
    found = (re.search(r'USERNAME: &str = "(\S+@\S+)"', file.read_text()) for file in sorted(sources.rglob("*.rs")))
    username = next(match.group(1) for match in found if match)
    keys = (file.read_text() for file in sorted(sources.rglob("*.pem")))
    return username, next(key for key in keys if "PRIVATE KEY" in key)


def ids(records):
    return [record["Id"] for record in records]


def some(salesforce, number, skip=0):
    """The ids of some contacts, `skip` from the first."""
    return ids(salesforce.query(f"SELECT Id FROM Contact ORDER BY Id LIMIT {skip + number}")["records"])[skip:]


def instant(text):
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")


def around_now():
    """A window of the replication feeds, which count in whole minutes."""
    now = datetime.now(timezone.utc)
    return now - timedelta(minutes=5), now + timedelta(minutes=2)


class Logins(unittest.TestCase):
    def test_client_credentials_open_the_org(self):
        salesforce, loopback = log_in()
        self.assertEqual(loopback.asked, ["POST /services/oauth2/token"])
        self.assertEqual(salesforce.sf_instance, f"{MY_DOMAIN}.salesforce.com")
        self.assertTrue(salesforce.session_id.startswith("00D"))

    def test_a_wrong_key_or_secret_is_refused(self):
        for wrong, code in [("consumer_secret", "invalid_client"), ("consumer_key", "invalid_client_id")]:
            with self.subTest(wrong), self.assertRaises(SalesforceAuthenticationFailed) as refused:
                log_in(**{wrong: "wrong"})
            self.assertEqual(refused.exception.code, code)
            self.assertTrue(refused.exception.auth_message)

    def test_a_signed_assertion_opens_the_org_and_another_signature_does_not(self):
        grant = {"grant_type": JWT_BEARER}
        answer = requests.post(sandbox.url("salesforce") + "/services/oauth2/token", grant, timeout=PATIENCE).json()
        if answer["error"] == "unsupported_grant_type":
            self.skipTest("SKIPPED: the sandbox has no JWT bearer grant")
        username, key = signer()
        credentials = {"username": username, "consumer_key": sandbox.login("salesforce")["client_id"],
                       "instance_url": MY_DOMAIN}
        salesforce, loopback = connect(privatekey=key, **credentials)
        self.assertEqual(len(some(salesforce, 1)), 1)
        self.assertEqual(loopback.count("POST /services/oauth2/token"), 1)
        stranger = rsa.generate_private_key(65537, 2048).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        for wrong in [{"privatekey": stranger}, {"privatekey": key, "username": "nobody@sandbox.example"}]:
            with self.subTest(list(wrong)), self.assertRaises(SalesforceAuthenticationFailed) as refused:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    connect(**{**credentials, **wrong})
            self.assertEqual(refused.exception.code, "invalid_grant")

    def test_an_ended_session_is_opened_again_once(self):
        salesforce, loopback = log_in()
        salesforce.session_id = "ended"
        salesforce.headers["Authorization"] = "Bearer ended"
        self.assertEqual(len(some(salesforce, 1)), 1)
        self.assertEqual(loopback.count("POST /services/oauth2/token"), 2)
        self.assertEqual(loopback.count("GET /services/data/v66.0/query"), 2)

    def test_a_session_that_cannot_be_opened_again_ends_in_its_own_words(self):
        salesforce, _ = connect(session_id="ended", instance_url=f"https://{MY_DOMAIN}.salesforce.com")
        with self.assertRaises(SalesforceExpiredSession) as refused:
            salesforce.query(EVERYONE)
        self.assertEqual(refused.exception.content[0]["errorCode"], "INVALID_SESSION_ID")


class Reading(unittest.TestCase):
    def test_everyone_is_read_over_several_pages(self):
        salesforce, loopback = log_in()
        everyone = salesforce.query_all(EVERYONE, include_deleted=True)["records"]
        self.assertEqual(len(everyone), sandbox.CONTACTS)
        self.assertEqual(loopback.count("GET /services/data/v66.0/query"), -(-sandbox.CONTACTS // PAGE))
        self.assertEqual(len(set(ids(everyone))), len(everyone))
        for contact in everyone:
            self.assertRegex(contact["Id"], r"^003[0-9A-Za-z]{15}$")
            self.assertEqual(contact["attributes"]["type"], "Contact")
            self.assertTrue(contact["Account"] is None or contact["Account"]["Name"])
            self.assertRegex(contact["SystemModstamp"], r"\.000\+0000$")

    def test_a_page_says_how_many_there_are_and_where_to_go_on(self):
        salesforce, _ = log_in()
        first = salesforce.query(EVERYONE)
        self.assertEqual(len(first["records"]), PAGE)
        self.assertFalse(first["done"])
        self.assertTrue(first["nextRecordsUrl"].startswith("/services/data/v66.0/query/"))
        second = salesforce.query_more(first["nextRecordsUrl"], identifier_is_url=True)
        self.assertEqual(second["totalSize"], first["totalSize"])
        by_name = salesforce.query_more(first["nextRecordsUrl"].split("/")[-1], include_deleted=True)
        self.assertEqual(ids(by_name["records"]), ids(second["records"]))

    def test_describe_lists_the_mapped_fields_with_their_types(self):
        fields = {field["name"]: field for field in log_in()[0].Contact.describe()["fields"]}
        types = {"Id": "id", "FirstName": "string", "LastName": "string", "Email": "email", "Phone": "phone",
                 "MobilePhone": "phone", "Title": "string", "AccountId": "reference", "IsDeleted": "boolean",
                 "MasterRecordId": "reference", "SystemModstamp": "datetime", PROPSTREET_ID: "string"}
        self.assertEqual({name: fields[name]["type"] for name in types}, types)
        self.assertEqual((fields["AccountId"]["referenceTo"], fields["AccountId"]["relationshipName"]),
                         (["Account"], "Account"))
        self.assertEqual((fields["Email"]["length"], fields["Id"]["length"]), (80, 18))
        self.assertTrue(fields["SystemModstamp"]["filterable"] and fields[PROPSTREET_ID]["updateable"])
        self.assertFalse(fields["SystemModstamp"]["updateable"] or fields[PROPSTREET_ID]["calculated"])

    def test_what_is_not_there_is_refused(self):
        salesforce, _ = log_in()
        with self.assertRaises(SalesforceMalformedRequest) as refused:
            salesforce.query("SELECT Id, No_Such_Field__c FROM Contact")
        self.assertEqual(refused.exception.content[0]["errorCode"], "INVALID_FIELD")
        with self.assertRaises(SalesforceResourceNotFound) as refused:
            salesforce.Contact.get("003000000000000AAA")
        self.assertEqual(refused.exception.content[0]["errorCode"], "NOT_FOUND")

    def test_limits_and_the_usage_header_agree(self):
        salesforce, _ = log_in()
        daily = salesforce.limits()["DailyApiRequests"]
        used, total = salesforce.api_usage["api-usage"]
        self.assertEqual(total, daily["Max"])
        self.assertTrue(0 < used <= total and daily["Remaining"] <= daily["Max"])


class Leads(unittest.TestCase):
    def test_leads_are_read_as_contacts_are(self):
        salesforce, _ = log_in()
        try:
            fields = {field["name"]: field["type"] for field in salesforce.Lead.describe()["fields"]}
        except SalesforceResourceNotFound:
            self.skipTest("SKIPPED: the sandbox has no Lead")
        types = {"Id": "id", "LastName": "string", "Company": "string", "Email": "email", "IsConverted": "boolean",
                 "ConvertedContactId": "reference", "ConvertedDate": "date", "SystemModstamp": "datetime"}
        self.assertEqual({name: fields.get(name) for name in types}, types)
        everyone = "SELECT Id, LastName, Company, IsConverted, ConvertedContactId FROM Lead"
        leads = salesforce.query_all(everyone, include_deleted=True)["records"]
        self.assertEqual(len(leads), salesforce.query("SELECT COUNT() FROM Lead", include_deleted=True)["totalSize"])
        self.assertEqual(len(set(ids(leads))), len(leads))
        if not leads:
            self.skipTest("SKIPPED: the sandbox has no leads; only their fields were looked at")
        for lead in leads:
            self.assertRegex(lead["Id"], r"^00Q[0-9A-Za-z]{15}$")
            self.assertTrue(lead["ConvertedContactId"] is None or lead["IsConverted"])


class Bulk(unittest.TestCase):
    def test_everyone_comes_as_csv_over_several_pages(self):
        salesforce, loopback = log_in()
        try:
            pages = list(salesforce.bulk2.Contact.query_all(EVERYONE, max_records=PAGE, wait=0.2))
        except SalesforceResourceNotFound:
            if loopback.count("GET /services/data/v66.0/jobs/query"):
                raise
            self.skipTest("SKIPPED: the sandbox has no Bulk API 2.0")
        self.assertEqual(len(pages), -(-sandbox.CONTACTS // PAGE))
        rows = [row for page in pages for row in csv.DictReader(io.StringIO(page, newline=""))]
        self.assertEqual(len(rows), sandbox.CONTACTS)

        def one(row, company):
            return row["Id"], row["LastName"], row["Email"] or "", company or ""

        by_rest = salesforce.query_all(EVERYONE, include_deleted=True)["records"]
        self.assertEqual({one(row, row["Account.Name"]) for row in rows},
                         {one(row, row["Account"] and row["Account"]["Name"]) for row in by_rest})

    def test_a_query_that_bulk_cannot_do_is_refused(self):
        salesforce, _ = log_in()
        with self.assertRaises((SalesforceMalformedRequest, SalesforceResourceNotFound)) as refused:
            list(salesforce.bulk2.Contact.query("SELECT COUNT() FROM Contact", wait=0.2))
        if isinstance(refused.exception, SalesforceResourceNotFound):
            self.skipTest("SKIPPED: the sandbox has no Bulk API 2.0")
        self.assertTrue(refused.exception.content[0]["errorCode"])


class Writing(unittest.TestCase):
    def test_an_update_is_read_back_and_moves_the_stamp(self):
        salesforce, _ = log_in()
        [contact] = some(salesforce, 1, skip=200)
        before = salesforce.Contact.get(contact)
        self.assertEqual(salesforce.Contact.update(contact, {PROPSTREET_ID: "1001"}), 204)
        after = salesforce.Contact.get(contact[:15])
        self.assertEqual((after["Id"], after[PROPSTREET_ID]), (contact, "1001"))
        self.assertGreater(instant(after["SystemModstamp"]), instant(before["SystemModstamp"]))
        updated = salesforce.Contact.updated(*around_now())
        self.assertIn(contact, updated["ids"])
        self.assertLessEqual(instant(updated["latestDateCovered"]), around_now()[1])

    def test_a_collection_answers_row_by_row_in_its_order(self):
        salesforce, _ = log_in()
        contacts = some(salesforce, 200)
        nobody = 117
        contacts[nobody] = "003000000000000AAA"
        contact = {"attributes": {"type": "Contact"}}
        rows = [{**contact, "id": id, PROPSTREET_ID: f"20{at}"} for at, id in enumerate(contacts)]
        results = salesforce.restful("composite/sobjects", method="PATCH", json={"allOrNone": False, "records": rows})
        self.assertEqual([result["success"] for result in results], [at != nobody for at in range(200)])
        self.assertNotIn("id", results[nobody])
        self.assertTrue(results[nobody]["errors"][0]["statusCode"] and results[nobody]["errors"][0]["message"])
        del contacts[nobody], rows[nobody], results[nobody]
        self.assertEqual([result["id"] for result in results], contacts)
        named = ", ".join(f"'{id}'" for id in contacts)
        read = salesforce.query_all(f"SELECT Id, {PROPSTREET_ID} FROM Contact WHERE Id IN ({named})")["records"]
        self.assertEqual({row["Id"]: row[PROPSTREET_ID] for row in read},
                         {row["id"]: row[PROPSTREET_ID] for row in rows})

    def test_what_is_deleted_shows_in_query_all_and_in_its_feed(self):
        salesforce, _ = log_in()
        [contact] = some(salesforce, 1, skip=300)
        this_one = f"SELECT Id, IsDeleted FROM Contact WHERE Id = '{contact}'"
        before = salesforce.Contact.deleted(*around_now())
        self.assertNotIn(contact, [record["id"] for record in before["deletedRecords"]])
        self.assertLess(instant(before["earliestDateAvailable"]), instant(before["latestDateCovered"]))
        try:
            self.assertEqual(salesforce.Contact.delete(contact), 204)
        except SalesforceGeneralError as refused:
            if refused.status != 405:
                raise
            self.skipTest("SKIPPED: the sandbox deletes for nobody")
        self.assertEqual(salesforce.query(this_one)["totalSize"], 0)
        binned = salesforce.query(this_one, include_deleted=True)["records"]
        self.assertEqual([row["IsDeleted"] for row in binned], [True])
        after = salesforce.Contact.deleted(*around_now())
        self.assertIn(contact, [record["id"] for record in after["deletedRecords"]])
        with self.assertRaises(SalesforceResourceNotFound) as refused:
            salesforce.Contact.update(contact, {PROPSTREET_ID: "1"})
        self.assertEqual(refused.exception.content[0]["errorCode"], "ENTITY_IS_DELETED")


if __name__ == "__main__":
    unittest.main(verbosity=2)
