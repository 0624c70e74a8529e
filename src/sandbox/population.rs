//! Who lives in the three CRMs, and what happens to them later: ordinary people, people known to several, and the
//! troublesome few that every real CRM holds. Decides by seed and tells the truth what must become of each; knows no API.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use crate::sandbox::Sandbox;
use crate::sandbox::people::{Crowd, Person};
use crate::sandbox::propstreet::contact::ExternalRef;
use crate::sandbox::truth::{Fate, Group, Known};
use crate::sandbox::upstream::Crm;

/// Records of one CRM that share one stamp, to the fraction.
const TIES: usize = 25;
/// Every how many of the ordinary people in Pipedrive are of old, when it kept no `update_time`.
const TIMELESS: usize = 250;
/// From this many people a CRM on, each kind of trouble is planted.
const ENOUGH_FOR_TROUBLE: usize = 20;

/// Records that belong together, where each is to be planted, and what must become of them.
struct Household {
    members: Vec<(Crm, Person)>,
    fate: Fate,
}

/// Plants `size` people in each CRM.
pub(super) fn settle(sandbox: &Sandbox, size: usize) {
    let crowd = &mut *sandbox.crowd();
    let mut households = Vec::new();
    if size >= ENOUGH_FOR_TROUBLE {
        for _ in 0..(size / 200).max(1) {
            households.extend(troublesome(crowd));
        }
        households.extend((0..size / 10).map(|at| known_to_several(crowd, at)));
    }
    let now = sandbox.clock.now().trunc_subsecs(0);
    let tie = now - TimeDelta::days(7);
    let mut planted = [0_usize; 3];
    for household in households {
        for (crm, _) in &household.members {
            planted[crm.index()] += 1;
        }
        let stamps = household.members.iter().map(|_| some_time(crowd, now)).collect::<Vec<_>>();
        plant(sandbox, &household.members, &stamps, household.fate);
    }
    for crm in Crm::ALL {
        let first = planted[crm.index()];
        for at in first..size {
            let person = ordinary(crowd, crm, at);
            let stamp = if at - first < TIES { tie } else { some_time(crowd, now) };
            if crm == Crm::Pipedrive && at % TIMELESS == TIMELESS - 1 {
                let id = sandbox.pipedrive.add_without_update_time(&person, stamp);
                let records = vec![known(sandbox, crm, &id, &person)];
                sandbox.truth.plant(Group { records, fate: Fate::OneContact });
            } else {
                plant(sandbox, &[(crm, person)], &[stamp], Fate::OneContact);
            }
        }
    }
}

/// Mostly complete; some have names only, and in `HubSpot` (the others ask for a name) some a phone or an address only.
fn ordinary(crowd: &mut Crowd, crm: Crm, at: usize) -> Person {
    let person = crowd.person();
    if at % 9 == 4 {
        Person { first: person.first, last: person.last, ..Person::default() }
    } else if crm == Crm::HubSpot && at % 11 == 5 {
        Person { mobile: Some(crowd.mobile()), label: person.label, ..Person::default() }
    } else if crm == Crm::HubSpot && at % 13 == 6 {
        Person { email: person.email, title: person.title, ..Person::default() }
    } else {
        person
    }
}

/// One human in two CRMs, every fourth in all three, one of the records perhaps spelt differently.
fn known_to_several(crowd: &mut Crowd, at: usize) -> Household {
    let person = crowd.person();
    let left_out = (at % 4 < 3).then_some(at % 3);
    let mut members: Vec<(Crm, Person)> =
        Crm::ALL.into_iter().filter(|crm| Some(crm.index()) != left_out).map(|crm| (crm, person.clone())).collect();
    let odd = crowd.below(members.len());
    members[odd].1 = crowd.respelt(&person);
    Household { members, fate: Fate::OneContact }
}

/// One of each kind of trouble.
fn troublesome(crowd: &mut Crowd) -> Vec<Household> {
    use Crm::{HubSpot, Pipedrive, Salesforce};
    let alone = |crm, person, reason| Household { members: vec![(crm, person)], fate: Fate::Quarantined(reason) };
    let mut households = Vec::new();
    // Pipedrive takes any text for an address; Salesforce and HubSpot check.
    for broken in ["anna.berg(at)nord.example", "berg@@nord.example", "a berg@nord example", "not known"] {
        households.push(alone(Pipedrive, Person { email: Some(broken.to_owned()), ..crowd.person() }, "invalid_email"));
    }
    // Only HubSpot's names may be that long, and only HubSpot's contacts may have neither name, address nor phone.
    households.push(alone(HubSpot, Person { last: "Lång".repeat(64), ..crowd.person() }, "too_long"));
    let nobody = Person { title: Some(crowd.title()), ..Person::default() };
    households.push(alone(HubSpot, nobody, "no_identifier"));
    // HubSpot keeps addresses unique, the other two do not.
    for crm in [Salesforce, Pipedrive] {
        let person = crowd.person();
        let twin = Person { title: Some(crowd.title()), ..person.clone() };
        let members = vec![(crm, person), (crm, twin)];
        households.push(Household { members, fate: Fate::OneOf("same_source_email") });
    }
    households.push(shared_mailbox(crowd, [Salesforce, HubSpot]));
    households.push(shared_mailbox(crowd, [HubSpot, Pipedrive]));
    households.push(role_address(crowd, [Salesforce, Pipedrive]));
    households
}

/// Two people whose names have nothing in common, with one address.
fn shared_mailbox(crowd: &mut Crowd, at: [Crm; 2]) -> Household {
    let one = Person { first: "Gunilla".to_owned(), last: "Stålhammar".to_owned(), ..crowd.person() };
    let other =
        Person { first: "Terje".to_owned(), last: "Moe".to_owned(), email: one.email.clone(), ..crowd.person() };
    Household { members: vec![(at[0], one), (at[1], other)], fate: Fate::OneOf("email_taken") }
}

/// The front desk in two CRMs: equal names prove nothing behind `info@`.
fn role_address(crowd: &mut Crowd, at: [Crm; 2]) -> Household {
    let someone = crowd.person();
    let host =
        someone.email.as_deref().and_then(|email| email.split_once('@')).map_or("nord.example", |(_, host)| host);
    let email = Some(format!("info@desk{}.{host}", crowd.below(1_000_000_000)));
    let desk = Person { email, ..someone };
    Household { members: vec![(at[0], desk.clone()), (at[1], desk)], fate: Fate::OneOf("email_taken") }
}

fn some_time(crowd: &mut Crowd, now: DateTime<Utc>) -> DateTime<Utc> {
    let seconds = crowd.below(30 * 24 * 3600);
    now - TimeDelta::seconds(i64::try_from(seconds).unwrap_or(0))
}

fn plant(sandbox: &Sandbox, members: &[(Crm, Person)], stamps: &[DateTime<Utc>], fate: Fate) {
    let planted = members.iter().zip(stamps);
    let records = planted.map(|((crm, person), stamp)| add(sandbox, *crm, person, *stamp)).collect();
    sandbox.truth.plant(Group { records, fate });
}

/// Adds a record to a CRM; the truth is the caller's to tell.
pub(super) fn add(sandbox: &Sandbox, crm: Crm, person: &Person, stamp: DateTime<Utc>) -> Known {
    let id = match crm {
        Crm::Salesforce => sandbox.salesforce.add_at(person, stamp),
        Crm::HubSpot => sandbox.hubspot.add_at(person, stamp),
        Crm::Pipedrive => sandbox.pipedrive.add_at(person, stamp),
    };
    known(sandbox, crm, &id, person)
}

fn known(sandbox: &Sandbox, crm: Crm, id: &str, person: &Person) -> Known {
    Known { reference: sandbox.reference(crm, id), crm, forms: vec![person.clone()] }
}

/// Edits a record of some known human, if the one drawn has a contact to expect: a title, a number, or a slip in the
/// first name. Names of people in several CRMs stay, lest they become two people.
pub(super) fn edit_someone(sandbox: &Sandbox, crowd: &mut Crowd) -> bool {
    let Some(group) = someone(sandbox, crowd) else { return false };
    let known = &group.records[crowd.below(group.records.len())];
    let Some(mut person) = known.forms.last().cloned() else { return false };
    match crowd.below(3) {
        0 if group.records.len() == 1 => person.first = crowd.misspelt(&person.first),
        1 => person.mobile = Some(crowd.mobile()),
        _ => person.title = Some(crowd.title()),
    }
    let ExternalRef { id, .. } = &known.reference;
    let edit = |held: &mut Person| *held = person.clone();
    let edited = match known.crm {
        Crm::Salesforce => sandbox.salesforce.edit(id, edit),
        Crm::HubSpot => sandbox.hubspot.edit(id, edit),
        Crm::Pipedrive => sandbox.pipedrive.edit(id, edit),
    };
    if edited {
        sandbox.truth.edited(&known.reference, &person);
    }
    edited
}

/// Someone of one CRM turns up in another, perhaps spelt differently.
pub(super) fn meet_again(sandbox: &Sandbox, crowd: &mut Crowd) -> bool {
    let Some(group) = someone(sandbox, crowd) else { return false };
    let [Known { reference, crm, forms }] = group.records.as_slice() else { return false };
    // An edited name could no longer be recognised, and without an address and both names nobody can be.
    let [person] = forms.as_slice() else { return false };
    if person.email.is_none() || person.first.is_empty() || person.last.is_empty() {
        return false;
    }
    let elsewhere = Crm::ALL[(crm.index() + 1 + crowd.below(2)) % 3];
    let record = add(sandbox, elsewhere, &crowd.respelt(person), sandbox.clock.now());
    sandbox.truth.join(reference, record);
    true
}

fn someone(sandbox: &Sandbox, crowd: &mut Crowd) -> Option<Group> {
    sandbox.truth.group(crowd.below(sandbox.truth.len())).filter(|group| group.fate == Fate::OneContact)
}
