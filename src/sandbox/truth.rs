//! The oracle: which humans the sandbox planted, under which references, and what Propstreet must hold of them. It
//! compares outcomes only and shares no logic with any engine; of contacts it names references, never personal data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sandbox::people::Person;
use crate::sandbox::propstreet::contact::{Contact, ExternalRef, RefKey};
use crate::sandbox::propstreet::network::Link;
use crate::sandbox::upstream::Crm;

/// One record of a human, in every form it has had.
#[derive(Debug, Clone)]
pub struct Known {
    /// The reference it must have in Propstreet.
    pub reference: ExternalRef,
    /// The CRM it stands in.
    pub crm: Crm,
    /// The form it was planted in, then one for each edit.
    pub forms: Vec<Person>,
}

/// What must become of a group of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// One contact that carries them all.
    OneContact,
    /// One contact that carries exactly one of them; the others are quarantined for this reason.
    OneOf(&'static str),
    /// No contact; all are quarantined for this reason.
    Quarantined(&'static str),
    /// No contact, and nobody waits for one.
    Gone,
}

/// Records that belong together.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its records; at least one.
    pub records: Vec<Known>,
    /// What must become of them.
    pub fate: Fate,
}

/// Custom fields that the reader's map covers: one that is covered may not be missing in Propstreet. A value that is
/// there must be right in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mapped {
    /// The preferred language.
    pub language: bool,
    /// The investor strategy.
    pub strategy: bool,
    /// The `LinkedIn` address.
    pub linkedin: bool,
}

/// What a comparison found. Strings are references (`namespace:id`) and field names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Contacts that must exist.
    pub expected: usize,
    /// Of these, how many do.
    pub found: usize,
    /// References without a contact.
    pub missing: Vec<String>,
    /// Humans with more than one contact, and employments filed twice.
    pub duplicates: Vec<String>,
    /// Mismatching fields, alien references, people merged who are two, records that should have been quarantined.
    pub wrong: Vec<String>,
    /// Records that must be in quarantine.
    pub expected_quarantined: usize,
}

impl Report {
    /// Whether Propstreet holds what it must and nothing else.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.missing.is_empty() && self.duplicates.is_empty() && self.wrong.is_empty() && self.found == self.expected
    }
}

/// Everything that was planted. Clones share it.
#[derive(Debug, Clone)]
pub struct Truth {
    inner: Arc<Mutex<Inner>>,
    namespaces: Arc<BTreeSet<String>>,
    mapped: Mapped,
}

#[derive(Debug, Default)]
struct Inner {
    groups: Vec<Group>,
    group_of: BTreeMap<RefKey, usize>,
}

impl Truth {
    /// Nobody yet. Contacts are judged by their references in `namespaces`; others are none of our business.
    #[must_use]
    pub fn new<'a>(namespaces: impl IntoIterator<Item = &'a str>, mapped: Mapped) -> Self {
        let namespaces = namespaces.into_iter().map(str::to_lowercase).collect();
        Self { inner: Arc::default(), namespaces: Arc::new(namespaces), mapped }
    }

    /// Takes note of a group.
    pub fn plant(&self, group: Group) {
        let mut inner = self.inner();
        let index = inner.groups.len();
        inner.group_of.extend(group.records.iter().map(|known| (known.reference.key(), index)));
        inner.groups.push(group);
    }

    /// The same human has turned up once more: their contact must carry this record too.
    pub fn join(&self, known_as: &ExternalRef, record: Known) {
        let mut inner = self.inner();
        let Some(&index) = inner.group_of.get(&known_as.key()) else { return };
        inner.group_of.insert(record.reference.key(), index);
        inner.groups[index].records.push(record);
    }

    /// A record has been edited in its CRM: from now on either form may be in Propstreet.
    pub fn edited(&self, reference: &ExternalRef, form: &Person) {
        self.change(reference, |group| {
            let known = group.records.iter_mut().find(|known| known.reference.key() == reference.key());
            known.into_iter().for_each(|known| known.forms.push(form.clone()));
        });
    }

    /// Another fate for the whole group of a reference, e.g. after someone deleted the contact in Propstreet.
    pub fn set_fate(&self, reference: &ExternalRef, fate: Fate) {
        self.change(reference, |group| group.fate = fate);
    }

    /// Every group, in the order of planting.
    #[must_use]
    pub fn groups(&self) -> Vec<Group> {
        self.inner().groups.clone()
    }

    /// The group at an index, counted in the order of planting.
    #[must_use]
    pub fn group(&self, index: usize) -> Option<Group> {
        self.inner().groups.get(index).cloned()
    }

    /// How many groups there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner().groups.len()
    }

    /// Whether nobody was planted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Compares Propstreet's contacts and links with what must be there. Deleted ones do not count.
    #[must_use]
    pub fn check(&self, contacts: &[Contact], links: &[Link]) -> Report {
        let inner = self.inner();
        let mut report = Report::default();
        let mut holders: BTreeMap<usize, Vec<&Contact>> = BTreeMap::new();
        for contact in contacts.iter().filter(|contact| contact.is_live()) {
            let groups = self.groups_in(&inner, contact, &mut report);
            if groups.len() > 1 {
                report.wrong.push(format!("{}: two people in one contact", label(&contact.refs)));
            }
            for group in groups {
                holders.entry(group).or_default().push(contact);
            }
        }
        for (index, group) in inner.groups.iter().enumerate() {
            self.judge(group, holders.get(&index).map_or(&[], Vec::as_slice), &mut report);
        }
        let mut employments = BTreeSet::new();
        for link in links.iter().filter(|link| link.deleted.is_none()) {
            if !employments.insert((link.contact, link.company)) {
                report.duplicates.push(format!("links between contact {} and company {}", link.contact, link.company));
            }
        }
        report
    }

    /// The groups whose references a contact carries; references of ours that nobody planted are wrong.
    fn groups_in(&self, inner: &Inner, contact: &Contact, report: &mut Report) -> BTreeSet<usize> {
        let mut groups = BTreeSet::new();
        let (mut ours, mut keys) = (false, BTreeSet::new());
        for reference in &contact.refs {
            let key = reference.key();
            if !self.namespaces.contains(&key.0) {
                continue;
            }
            ours = true;
            match inner.group_of.get(&key) {
                Some(group) => drop(groups.insert(*group)),
                None => report.wrong.push(format!("{}: alien reference", shown(reference))),
            }
            if !keys.insert(key) {
                report.wrong.push(format!("{}: reference twice on one contact", shown(reference)));
            }
        }
        if !ours && !contact.planted {
            report.wrong.push(format!("contact {}: created without a reference", contact.id));
        }
        groups
    }

    fn judge(&self, group: &Group, holders: &[&Contact], report: &mut Report) {
        let name = group.records.first().map(|known| shown(&known.reference)).unwrap_or_default();
        match group.fate {
            Fate::OneContact | Fate::OneOf(_) => {
                report.expected += 1;
                if let Fate::OneOf(_) = group.fate {
                    report.expected_quarantined += group.records.len() - 1;
                }
                match holders {
                    [] => report.missing.push(name),
                    [contact] => {
                        report.found += 1;
                        self.judge_contact(group, contact, report);
                    }
                    _ => {
                        report.found += 1;
                        report.duplicates.push(format!("{name}: {} contacts", holders.len()));
                    }
                }
            }
            Fate::Quarantined(reason) => {
                report.expected_quarantined += group.records.len();
                if !holders.is_empty() {
                    report.wrong.push(format!("{name}: synced, should be quarantined: {reason}"));
                }
            }
            Fate::Gone if holders.is_empty() => {}
            Fate::Gone => report.wrong.push(format!("{name}: should be gone")),
        }
    }

    fn judge_contact(&self, group: &Group, contact: &Contact, report: &mut Report) {
        let (carried, absent): (Vec<_>, Vec<_>) =
            group.records.iter().partition(|known| contact.has_ref(&known.reference.key()));
        let allowed = match group.fate {
            Fate::OneOf(reason) if carried.len() > 1 => {
                report.wrong.push(format!("{}: linked, should be one of: {reason}", label(&contact.refs)));
                carried
            }
            Fate::OneContact => {
                report.missing.extend(absent.iter().map(|known| shown(&known.reference)));
                group.records.iter().collect()
            }
            _ => carried,
        };
        let fields = mismatches(contact, &allowed, self.mapped);
        let whose = label(&contact.refs);
        report.wrong.extend(fields.into_iter().map(|field| format!("{whose}: {field}")));
    }

    fn change(&self, reference: &ExternalRef, change: impl FnOnce(&mut Group)) {
        let mut inner = self.inner();
        if let Some(&index) = inner.group_of.get(&reference.key()) {
            change(&mut inner.groups[index]);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names of the fields that hold what no form of any of the records has.
fn mismatches(contact: &Contact, records: &[&Known], mapped: Mapped) -> Vec<&'static str> {
    let forms = || records.iter().flat_map(|known| known.forms.iter().map(|form| (known.crm, form)));
    let any = |fits: &dyn Fn(Crm, &Person) -> bool| forms().any(|(crm, form)| fits(crm, form));
    let name = |known: &str| Some(known.trim()).filter(|known| !known.is_empty()).map(str::to_owned);
    let custom = |covered: bool, held: &Option<String>, of: &dyn Fn(&Person) -> Option<String>| {
        (held.is_none() && !covered) || any(&|_, form| of(form) == *held)
    };
    let checks = [
        ("firstName", any(&|_, form| contact.first_name == name(&form.first))),
        ("lastName", any(&|_, form| contact.last_name == name(&form.last))),
        ("email", any(&|_, form| same_address(contact.email.as_deref(), form.email.as_deref()))),
        ("phone", any(&|crm, form| numbers(crm, form).contains(&contact.phone.as_deref()))),
        ("tags", tags_fit(contact, records)),
        ("primaryLanguage", custom(mapped.language, &contact.primary_language, &|form| form.language.clone())),
        ("strategy", custom(mapped.strategy, &contact.strategy, &|form| form.strategy.clone())),
        ("linkedInUrl", custom(mapped.linkedin, &contact.linkedin_url, &|form| form.linkedin.clone())),
    ];
    checks.into_iter().filter(|(_, fits)| !fits).map(|(field, _)| field).collect()
}

/// Equal but for case, and Propstreet's domain in lower case.
fn same_address(held: Option<&str>, planted: Option<&str>) -> bool {
    let lower_domain = |address: &str| address.rsplit('@').next().is_some_and(|domain| domain == domain.to_lowercase());
    match (held, planted) {
        (None, None) => true,
        (Some(held), Some(planted)) => held.to_lowercase() == planted.to_lowercase() && lower_domain(held),
        _ => false,
    }
}

/// The numbers that may be the one in Propstreet: the mobile before the desk, but in Pipedrive either may be the primary.
fn numbers(crm: Crm, form: &Person) -> Vec<Option<&str>> {
    let [mobile, desk] = [&form.mobile, &form.phone].map(|phone| phone.as_ref().map(|phone| phone.e164.as_str()));
    match (crm, mobile, desk) {
        (Crm::Pipedrive, Some(_), Some(_)) => vec![mobile, desk],
        _ => vec![mobile.or(desk)],
    }
}

/// No tag but the records' labels, and all that at least one record must bring. Salesforce has no label of its own, so
/// one from there is only ever allowed.
fn tags_fit(contact: &Contact, records: &[&Known]) -> bool {
    let forms: Vec<(Crm, &Person)> =
        records.iter().flat_map(|known| known.forms.iter().map(|form| (known.crm, form))).collect();
    let brought = |tag: &String| forms.iter().any(|(_, form)| form.label.as_ref() == Some(tag));
    let satisfied = |(crm, form): &(Crm, &Person)| match &form.label {
        Some(label) if *crm != Crm::Salesforce => contact.tags.contains(label),
        _ => true,
    };
    contact.tags.iter().all(brought) && forms.iter().any(satisfied)
}

fn shown(reference: &ExternalRef) -> String {
    format!("{}:{}", reference.namespace, reference.id)
}

fn label(refs: &[ExternalRef]) -> String {
    refs.iter().map(shown).collect::<Vec<_>>().join(" + ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::people::{Crowd, Phone};

    fn known(crm: Crm, namespace: &str, id: &str, person: &Person) -> Known {
        Known { reference: ExternalRef::new(namespace, id), crm, forms: vec![person.clone()] }
    }

    /// What a flawless sync would write for a record.
    fn contact(id: u64, person: &Person, refs: &[(&str, &str)]) -> Contact {
        let mut contact = Contact {
            id,
            refs: refs.iter().map(|(namespace, id)| ExternalRef::new(namespace, id)).collect(),
            first_name: Some(person.first.clone()),
            last_name: Some(person.last.clone()),
            tags: person.label.iter().cloned().collect(),
            ..Contact::default()
        };
        contact.set_email(person.email.clone());
        contact.set_phone(person.mobile.as_ref().or(person.phone.as_ref()).map(|phone| phone.e164.clone()));
        contact
    }

    /// Anna stands in two CRMs, Bo and Bea share a mailbox, Cai's record is broken.
    struct Scene {
        truth: Truth,
        anna: Person,
        bo: Person,
        bea: Person,
        cai: Person,
    }

    fn scene() -> Scene {
        let mut crowd = Crowd::new(3);
        let anna = Person { label: Some("lead".to_owned()), ..crowd.person() };
        let bo = crowd.person();
        let bea = Person { email: bo.email.clone(), ..crowd.person() };
        let cai = crowd.person();
        let truth = Truth::new(["salesforce", "hubspot"], Mapped::default());
        truth.plant(Group {
            records: vec![
                known(Crm::Salesforce, "salesforce", "A", &anna),
                known(Crm::HubSpot, "hubspot", "1", &crowd.respelt(&anna)),
            ],
            fate: Fate::OneContact,
        });
        let rivals = vec![known(Crm::Salesforce, "salesforce", "B", &bo), known(Crm::HubSpot, "hubspot", "2", &bea)];
        truth.plant(Group { records: rivals, fate: Fate::OneOf("email_taken") });
        truth.plant(Group {
            records: vec![known(Crm::HubSpot, "hubspot", "3", &cai)],
            fate: Fate::Quarantined("invalid_email"),
        });
        Scene { truth, anna, bo, bea, cai }
    }

    #[test]
    fn a_flawless_propstreet_passes_whichever_rival_came_first() {
        let Scene { truth, anna, bo, bea, .. } = scene();
        let mut foreign = contact(9, &bea, &[("csv-import", "7")]);
        foreign.planted = true;
        for rival in [contact(2, &bo, &[("salesforce", "B")]), contact(2, &bea, &[("hubspot", "2")])] {
            let both = contact(1, &anna, &[("SalesForce", "A"), ("hubspot", "1")]);
            let report = truth.check(&[both, rival, foreign.clone()], &[]);
            assert!(report.is_clean(), "{report:?}");
            assert_eq!((report.expected, report.found, report.expected_quarantined), (2, 2, 2));
        }
    }

    #[test]
    fn every_kind_of_fault_is_found_and_nobody_is_named() {
        let Scene { truth, anna, bo, bea, cai } = scene();
        let good = contact(1, &anna, &[("salesforce", "A"), ("hubspot", "1")]);
        let rival = contact(2, &bo, &[("salesforce", "B")]);
        let with = |change: &dyn Fn(&mut Contact)| {
            let mut contact = good.clone();
            change(&mut contact);
            vec![contact, rival.clone()]
        };
        let number = Phone::new("", "+46700000000");
        let cases: Vec<(&str, Vec<Contact>, [usize; 3])> = vec![
            ("no contact", vec![rival.clone()], [1, 0, 0]),
            ("deleted", with(&|c| c.deleted = Some(c.created)), [1, 0, 0]),
            ("second record not linked", with(&|c| drop(c.refs.pop())), [1, 0, 0]),
            (
                "two contacts",
                vec![contact(1, &anna, &[("salesforce", "A")]), contact(3, &anna, &[("hubspot", "1")]), rival.clone()],
                [0, 1, 0],
            ),
            (
                "one reference on two contacts",
                [with(&|_| ()), vec![contact(3, &bo, &[("salesforce", "B")])]].concat(),
                [0, 1, 0],
            ),
            ("both rivals", [with(&|_| ()), vec![contact(3, &bea, &[("hubspot", "2")])]].concat(), [0, 1, 0]),
            ("rivals linked", vec![good.clone(), contact(2, &bo, &[("salesforce", "B"), ("hubspot", "2")])], [0, 0, 1]),
            ("alien reference", with(&|c| c.refs.push(ExternalRef::new("hubspot", "77"))), [0, 0, 1]),
            ("case of an id", with(&|c| c.refs[0].id = "a".to_owned()), [1, 0, 1]),
            ("no reference", [with(&|_| ()), vec![contact(3, &cai, &[])]].concat(), [0, 0, 1]),
            (
                "quarantined one synced",
                [with(&|_| ()), vec![contact(3, &cai, &[("hubspot", "3")])]].concat(),
                [0, 0, 1],
            ),
            ("name", with(&|c| c.last_name = Some("Other".to_owned())), [0, 0, 1]),
            ("address", with(&|c| c.set_email(Some("other@x.example".to_owned()))), [0, 0, 1]),
            ("domain in capitals", with(&|c| c.email = c.email.as_ref().map(|e| e.to_uppercase())), [0, 0, 1]),
            ("phone", with(&|c| c.set_phone(Some(number.e164.clone()))), [0, 0, 1]),
            ("foreign tag", with(&|c| c.tags.push("vip".to_owned())), [0, 0, 1]),
            ("language", with(&|c| c.primary_language = Some("xx".to_owned())), [0, 0, 1]),
            ("strategy", with(&|c| c.strategy = Some("?".to_owned())), [0, 0, 1]),
        ];
        for (name, contacts, [missing, duplicates, wrong]) in cases {
            let report = truth.check(&contacts, &[]);
            let counts = [report.missing.len(), report.duplicates.len(), report.wrong.len()];
            assert_eq!(counts, [missing, duplicates, wrong], "{name}: {report:?}");
            assert!(!report.is_clean(), "{name}");
            let text = format!("{report:?}");
            assert!(!text.contains(&anna.last) && !text.contains('@'), "{name}: {text}");
        }
    }

    #[test]
    fn an_edit_allows_either_form_and_a_covered_field_may_not_be_missing() {
        let mut crowd = Crowd::new(5);
        let person = Person { strategy: Some("core".to_owned()), ..crowd.person() };
        let record = known(Crm::Salesforce, "salesforce", "A", &person);
        let reference = record.reference.clone();
        let truth = Truth::new(["salesforce"], Mapped { strategy: true, ..Mapped::default() });
        truth.plant(Group { records: vec![record], fate: Fate::OneContact });
        let edited = Person { first: "Annna".to_owned(), ..person.clone() };
        let held =
            |form: &Person| [Contact { strategy: Some("core".to_owned()), ..contact(1, form, &[("salesforce", "A")]) }];
        assert!(!truth.check(&held(&edited), &[]).is_clean());
        truth.edited(&reference, &edited);
        assert!(truth.check(&held(&edited), &[]).is_clean());
        assert!(truth.check(&held(&person), &[]).is_clean());
        assert!(!truth.check(&[contact(1, &person, &[("salesforce", "A")])], &[]).is_clean());
        truth.set_fate(&reference, Fate::Gone);
        assert!(truth.check(&[], &[]).is_clean());
    }
}
