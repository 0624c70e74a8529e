//! One life of a small firm under each reading of what Propstreet's pages leave open: it ends the same, or otherwise just
//! where the table says so, and then nothing is written any more.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use propsync::domain::decision::Wish;
use propsync::domain::request::Chosen;
use propsync::domain::told::Silent;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::people::{Company as Employer, Person, Phone};
use propsync::sandbox::propstreet::company::Company;
use propsync::sandbox::propstreet::contact::{Contact, ExternalRef, Labelled};
use propsync::sandbox::propstreet::knobs::{
    Arrays, ConflictBody, CreateOnly, Envelope, Hits, Idempotency, Ids, Knobs, KnownRef, Lengths, MissingTag, RefShape,
    RepeatedLink, StaleTag, TakenEmail, Window,
};
use propsync::sandbox::upstream::Crm;

use crate::support::{Firm, held, in_virtual_time, person};

const HOUR: Duration = Duration::from_secs(3600);

/// What the life ends with under the default reading: each living contact with its phone, tags, references and employments
/// (`*` the primary one), the companies, and how those records ended of which that does not tell.
const END: &str = "\
Anna Lund - #customer hubspot salesforce | Norr AB CFO*
Bo Berg - hubspot | South AB CFO* | Norr AB CFO
Cia Berg +46701234568 #vip hubspot | Norr AB CEO*
Dan Berg - pipedrive
Eva Berg - hubspot hubspot
Eva: unchanged
Fia Berg - salesforce | Norr AB CFO*
Gun: skipped: deleted_in_propstreet
Hal Berg - salesforce | Norr AB CFO*
Ida: quarantined: email_taken
Jan: quarantined: email_taken
Kim: quarantined: email_held_by_deleted
Lea Berg - hubspot
Lea: created
Nils Dahl -
Olle Dahl -
Rut (120 letters) - hubspot
company Norr AB
company South AB";

/// Lines of the end, and what stands there instead.
type Instead = &'static [(&'static str, &'static str)];

/// Where lists are only ever joined, no tag can be taken off.
const TAGS_STAY: Instead = &[
    (
        "Anna Lund - #customer hubspot salesforce | Norr AB CFO*",
        "Anna Lund - #customer #lead hubspot salesforce | Norr AB CFO*",
    ),
    ("Fia Berg - salesforce | Norr AB CFO*", "Fia Berg - #deleted-in-crm salesforce | Norr AB CFO*"),
    ("Hal Berg - salesforce | Norr AB CFO*", "Hal Berg - #filtered-in-crm salesforce | Norr AB CFO*"),
];

/// Where a contact may carry one reference of a namespace, the record that two became in their CRM cannot join the contact
/// of one of them: a person is told, and as long as nobody acts it is tried once a day. No page says this of contacts, so
/// the simulation does not draw it; that it brings no double and no storm is all that is promised.
const MERGED_WAIT: Instead = &[
    ("Eva Berg - hubspot hubspot", "Eva Berg - hubspot"),
    ("Eva: unchanged", "Eva: quarantined: rejected"),
    ("", "idle: PATCH contact"),
];

/// One reading of one knob, and where the life ends otherwise under it.
struct Reading {
    name: String,
    knobs: Knobs,
    instead: Instead,
}

/// A row a knob: its readings beside the default, and the lines of the end that are others under one. A knob that has no
/// row here does not compile.
macro_rules! table {
    ($($knob:ident { $($reading:expr $(=> $instead:expr)?),+ })+) => {
        fn readings() -> Vec<Reading> {
            let Knobs { $($knob: _),+ } = Knobs::default();
            vec![$($(Reading {
                name: format!("{} = {:?}", stringify!($knob), $reading),
                knobs: Knobs { $knob: $reading, ..Knobs::default() },
                instead: [&[] as Instead, $($instead)?].concat().leak(),
            }),+),+]
        }

        /// Each knob of a combination in the words of the table.
        fn words(knobs: &Knobs) -> Vec<(&'static str, String)> {
            vec![$((stringify!($knob), format!("{} = {:?}", stringify!($knob), knobs.$knob))),+]
        }
    };
}

table! {
    taken_email { TakenEmail::Invalid }
    deleted_addresses_count { true }
    secondary_addresses_count { true }
    email_case_matters { true }
    lookup_finds_deleted { true }
    lookup_lag { Duration::from_secs(20) }
    refs_free_after_delete { true }
    arrays { Arrays::Merge => TAGS_STAY }
    connections { Arrays::Merge }
    refs { RefShape::Former }
    put_updates { true }
    create_only { CreateOnly::Creates, CreateOnly::Updates }
    lengths { Lengths::ByPage, Lengths::Guide }
    phones_as_sent { true }
    conflict_body { ConflictBody::Telling }
    idempotency { Idempotency::Replayed }
    namespace_once { true => MERGED_WAIT }
    upsert_clears_absent { true }
    upsert_ignores_null { true }
    upsert_honours_tag { false }
    match_finds_secondary { true }
    match_refuses_second_id { true }
    connections_found_companies { true }
    envelope { Envelope::Flat }
    ids { Ids::Number }
    stale_tag { StaleTag::Conflict }
    known_ref { KnownRef::Existing }
    noop_makes_a_version { true }
    hits { Hits::Results, Hits::Data }
    domain_in_refs { true }
    company_domains_unique { true }
    rename_touches_contacts { true }
    deleted_company_ends_links { false }
    untagged_link { MissingTag::Required, MissingTag::Stale }
    repeated_link { RepeatedLink::Conflict }
    first_link_is_primary { false }
    primary_passes_on { true }
    window { Window::Sliding }
}

fn employer(name: &str, domain: &str) -> Employer {
    Employer {
        name: name.to_owned(),
        country: "Sweden".to_owned(),
        country_code: "SE".to_owned(),
        domain: domain.to_owned(),
    }
}

/// Somebody of this first name, who works at Nord.
fn at_nord(first: &str) -> Person {
    let company = Some(employer("Nord AB", "nord.example"));
    Person { company, title: Some("CFO".to_owned()), ..alone(first) }
}

fn alone(first: &str) -> Person {
    person(first, "Berg", &format!("{}@people.example", first.to_lowercase()))
}

fn firm(knobs: Knobs) -> Firm {
    let mut firm = Firm::new(61, |settings| {
        settings.contacts = 0;
        settings.knobs = knobs;
        settings.requests_per_minute = 120;
    });
    let common = "companies = \"link\"\non_change = \"update\"\nclear_empty = true\nowner = { tags = \"crm\" }\n";
    let tagged = "on_delete = \"tag\"\non_filtered = \"tag\"\nfilter = \"FirstName != 'Test'\"\n";
    firm.extra.insert("propstreet", "precedence = [\"hubspot\"]".to_owned());
    firm.extra.insert("salesforce", format!("{common}{tagged}"));
    firm.extra.insert("hubspot", common.to_owned());
    firm.extra.insert("pipedrive", format!("{common}on_delete = \"delete\"\n"));
    firm
}

/// A sync so many hours later; after a day it sweeps.
async fn sync_after(firm: &Firm, hours: u32) {
    firm.wait(hours * HOUR).await;
    let reports = firm.sync().await;
    assert!(reports.iter().all(|report| report.complete && report.counts.balanced()), "{reports:?}");
}

/// The next answer to such a write is lost after it was carried out.
fn lose(firm: &Firm, method: Method, path: &str) {
    firm.sandbox.propstreet.faults().add(Rule::new(Fault::LostAfter).on(method).path(path).times(1));
}

fn the_contact(firm: &Firm, reference: &ExternalRef) -> u64 {
    let found = firm.sandbox.propstreet.find(&reference.namespace, &reference.id);
    found.iter().find(|contact| contact.is_live()).expect("a contact").id
}

/// A sync in which somebody gives this contact, the only one to be written, a tag between our reading and our writing: the
/// first try to write it is told to wait.
async fn sync_and_be_overtaken(firm: &Firm, id: u64) {
    let propstreet = &firm.sandbox.propstreet;
    let wait = Fault::Status { code: 429, retry_after: Some(5) };
    propstreet.faults().add(Rule::new(wait).on(Method::PATCH).times(1));
    propstreet.reset_counts();
    let colleague = async {
        while propstreet.requests().of("PATCH contact") == 0 {
            firm.wait(Duration::from_millis(100)).await;
        }
        propstreet.edit(id, |contact| contact.tags.push("vip".to_owned()));
    };
    firm.wait(HOUR).await;
    tokio::join!(firm.sync(), colleague);
}

/// Brings a contact back that somebody deleted, as the command does.
async fn revive(firm: &Firm, reference: &ExternalRef) {
    let wish = Wish { detach: false, link: false, without_email: false, revive: true };
    let parts = firm.start().await;
    parts.engine.resolve(&firm.key(reference), wish).await.expect("a ledger").expect("it fits");
    let source = parts.sources.iter().find(|source| source.name == reference.namespace).expect("a source");
    let chosen = Chosen::Ids(vec![reference.id.clone()]);
    let report = parts.engine.resync(source, chosen, false, Duration::from_secs(120), &Silent).await;
    assert!(report.complete && report.counts.balanced(), "{report:?}");
    parts.close().await;
}

/// The life. Answers the records that it tells of.
async fn live(firm: &Firm) -> Vec<(&'static str, ExternalRef)> {
    let (world, propstreet) = (&firm.sandbox, &firm.sandbox.propstreet);
    // Propstreet holds some already: by reference, by address, as somebody else's first or second address, and deleted.
    let bo = world.plant(Crm::HubSpot, &at_nord("Bo"));
    propstreet.plant(held(&alone("Bo"), &[("hubspot", &bo.id)]));
    propstreet.plant(held(&alone("Cia"), &[]));
    propstreet.plant(held(&person("Nils", "Dahl", "ida@people.example"), &[]));
    let second = Labelled { value: "jan@people.example".to_owned(), kind: "home".to_owned() };
    let mut other = held(&person("Olle", "Dahl", "olle@people.example"), &[]);
    other.emails.push(second);
    propstreet.plant(other);
    propstreet.delete(propstreet.plant(held(&person("Pia", "Dahl", "kim@people.example"), &[])));

    // The first sync, with answers lost.
    lose(firm, Method::POST, "/network/contacts");
    lose(firm, Method::POST, "/network/companies");
    lose(firm, Method::POST, "/network/links");
    let phone = Some(Phone::new("070-123 45 67", "+46701234567"));
    let anna = Person { mobile: phone, label: Some("lead".to_owned()), ..at_nord("Anna") };
    let anna = world.plant(Crm::HubSpot, &anna);
    let cia = world.plant(Crm::HubSpot, &at_nord("Cia"));
    let [dan, gun] = ["Dan", "Gun"].map(|first| world.plant(Crm::Pipedrive, &alone(first)));
    let eva = world.plant(Crm::HubSpot, &alone("Eva"));
    let [fia, hal] = ["Fia", "Hal"].map(|first| world.plant(Crm::Salesforce, &at_nord(first)));
    let [ida, jan, kim] = ["Ida", "Jan", "Kim"].map(|first| world.plant(Crm::HubSpot, &alone(first)));
    let east = Some(employer("East AB", "east.example"));
    world.plant(Crm::HubSpot, &Person { last: "R".repeat(120), ..alone("Rut") });
    let lea = world.plant(Crm::HubSpot, &Person { company: east, ..at_nord("Lea") });
    sync_after(firm, 1).await;

    // Each changes in a way of their own; answers are lost again.
    lose(firm, Method::PATCH, "/network/contacts/");
    lose(firm, Method::PATCH, "/network/links/");
    lose(firm, Method::PATCH, "/network/companies/");
    world.plant(Crm::Salesforce, &Person { email: Some("ANNA@people.example".to_owned()), ..at_nord("Anna") });
    let chief = Person { title: Some("CEO".to_owned()), ..at_nord("Cia") };
    assert!(world.edit(&cia, &chief));
    let south = world.add_company(Crm::HubSpot, &employer("South AB", "south.example"));
    assert!(world.employ(&bo, Some(&south)));
    for crm in [Crm::Salesforce, Crm::HubSpot] {
        let nord = world.companies(crm).into_iter().find(|held| held.company.name == "Nord AB").expect("a company");
        assert!(world.rename_company(crm, &nord.id, "Norr AB"));
    }
    let twin = world.plant(Crm::HubSpot, &person("Eva", "Ek", "eva.ek@people.example"));
    let eva = world.merge(&eva, &twin).expect("what is left");
    assert!(world.delete(&fia) && world.delete(&gun));
    assert!(world.edit(&hal, &Person { first: "Test".to_owned(), ..at_nord("Hal") }));
    assert!(propstreet.delete(the_contact(firm, &dan)));
    let gone = propstreet.companies().into_iter().find(|company| company.name == "East AB").expect("a company");
    assert!(propstreet.delete_company(gone.id));
    sync_after(firm, 25).await;

    // Some come back; of two records on a contact the first has its word.
    let married = Person { last: "Lund".to_owned(), label: Some("customer".to_owned()), ..at_nord("Anna") };
    assert!(world.edit(&anna, &married));
    assert!(world.restore(&fia) && world.restore(&gun));
    assert!(world.edit(&hal, &at_nord("Hal")));
    sync_after(firm, 1).await;
    let phone = Some(Phone::new("070-123 45 68", "+46701234568"));
    assert!(world.edit(&cia, &Person { mobile: phone, ..chief }));
    sync_and_be_overtaken(firm, the_contact(firm, &cia)).await;
    revive(firm, &dan).await;
    vec![("Gun", gun), ("Ida", ida), ("Jan", jan), ("Kim", kim), ("Lea", lea), ("Eva", eva)]
}

/// Everything there is at the end, in words.
async fn end(firm: &Firm, records: &[(&'static str, ExternalRef)]) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, reference) in records {
        lines.push(format!("{name}: {}", firm.ending(reference).await));
    }
    lines.extend(firm.sandbox.propstreet.contacts_as_meant().iter().filter(|c| c.is_live()).map(|c| told(firm, c)));
    let companies = firm.sandbox.propstreet.companies();
    lines.extend(companies.into_iter().filter(Company::is_live).map(|company| format!("company {}", company.name)));
    lines.sort();
    lines
}

fn told(firm: &Firm, contact: &Contact) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let last = text(&contact.last_name);
    let last = if last.len() > 40 { format!("({} letters)", last.len()) } else { last };
    let mut words = vec![text(&contact.first_name), last, text(&contact.phone)];
    words.extend(contact.tags.iter().collect::<BTreeSet<_>>().into_iter().map(|tag| format!("#{tag}")));
    let mut refs: Vec<_> = contact.refs.iter().map(|reference| reference.namespace.clone()).collect();
    refs.sort();
    words.extend(refs);
    for link in firm.sandbox.propstreet.employments(contact.id) {
        let company = firm.sandbox.propstreet.company(link.company).expect("a company");
        if company.is_live() {
            let primary = if link.primary { "*" } else { "" };
            words.push(format!("| {} {}{primary}", company.name, text(&link.job_title)));
        }
    }
    words.join(" ")
}

/// What a sync with a sweep, when all is done, still writes: nothing.
async fn restless(firm: &Firm) -> Vec<String> {
    firm.sandbox.propstreet.reset_counts();
    sync_after(firm, 25).await;
    let requests = firm.sandbox.propstreet.requests();
    let calls = ["contacts", "contact", "companies", "company", "links", "link"];
    let writes = calls.iter().flat_map(|call| ["POST", "PATCH", "PUT", "DELETE"].map(|verb| format!("{verb} {call}")));
    writes.filter(|call| requests.of(call) > 0).map(|call| format!("idle: {call}")).collect()
}

#[test]
fn under_each_reading_a_life_ends_as_it_should() {
    in_virtual_time(async {
        let default = Reading { name: "the default".to_owned(), knobs: Knobs::default(), instead: &[] };
        let mut wrong = Vec::new();
        for reading in std::iter::once(default).chain(readings()) {
            println!("{}", reading.name);
            let firm = firm(reading.knobs);
            let records = live(&firm).await;
            let restless = restless(&firm).await;
            let instead = |line: &&str| reading.instead.iter().any(|(held, _)| held == line);
            let mut expected: Vec<&str> = END.lines().filter(|line| !instead(line)).collect();
            expected.extend(reading.instead.iter().map(|(_, other)| other));
            expected.sort_unstable();
            let mut ended = end(&firm, &records).await;
            ended.extend(restless);
            ended.sort();
            if ended != expected {
                let missing: Vec<_> = expected.iter().filter(|line| !ended.iter().any(|held| held == *line)).collect();
                let new: Vec<_> = ended.iter().filter(|line| !expected.contains(&line.as_str())).collect();
                wrong.push(format!("{}: instead of {missing:#?} there is {new:#?}", reading.name));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

#[test]
fn the_table_has_what_the_simulation_draws_and_the_page_on_knobs_has_its_rows() {
    let page = include_str!("../../docs/sandbox-knobs.md");
    let default: BTreeSet<_> = words(&Knobs::default()).into_iter().collect();
    let mut drawn = BTreeSet::new();
    for seed in 0..200 {
        drawn.extend(words(&Knobs::draw(&mut fastrand::Rng::with_seed(seed))));
    }
    // How long a look-up lags is a matter of chance.
    let other =
        |(knob, word): &&(&'static str, String)| *knob != "lookup_lag" && !default.contains(&(*knob, word.clone()));
    let drawn: BTreeSet<&String> = drawn.iter().filter(other).map(|(_, word)| word).collect();
    let readings = readings();
    let table = readings.iter().map(|reading| &reading.name).filter(|name| !name.starts_with("lookup_lag"));
    let table: BTreeSet<&String> = table.filter(|name| !name.starts_with("namespace_once")).collect();
    assert_eq!(drawn, table);
    for (knob, _) in &default {
        assert!(page.contains(&format!("| `{knob}` |")), "{knob} is not on the page");
    }
}
