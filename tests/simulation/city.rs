//! The people of a changing firm and the companies they work for, in three CRMs, and the log of all that anybody did
//! to them there or in Propstreet. It decides by seed what happens next, and knows no rule of what must come of it.

use std::collections::BTreeSet;

use propsync::sandbox::Sandbox;
use propsync::sandbox::hand::CrmPerson;
use propsync::sandbox::people::{Company, Crowd, Person};
use propsync::sandbox::propstreet::contact::{Contact, ExternalRef};
use propsync::sandbox::upstream::Crm;

use crate::simulation::oracle::Leave;

/// The label of whom the filter of Pipedrive keeps out.
pub const OUT: &str = "subscriber";
/// The other labels in use; each is a tag in Propstreet.
pub const LABELS: [&str; 3] = ["lead", "opportunity", "customer"];

/// The fields that are compared; a form has them in this order.
pub const FIELDS: [&str; 7] = ["first_name", "last_name", "email", "phone", "strategy", "job_title", "company"];
pub const LAST_NAME: usize = 1;
pub const PHONE: usize = 3;
pub const STRATEGY: usize = 4;
pub const TITLE: usize = 5;
pub const EMPLOYER: usize = 6;

/// A record as it should be seen in Propstreet. The employer is the number of a firm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    pub fields: [Option<String>; 7],
    pub label: Option<String>,
    /// How the employer is called today.
    pub firm_name: Option<String>,
    /// The title, also without an employer.
    pub title: Option<String>,
}

impl Form {
    /// All of it, or without what only companies need.
    pub fn content(&self, companies: bool) -> String {
        let fields = if companies { &self.fields[..] } else { &self.fields[..TITLE] };
        let firm = self.firm_name.as_ref().filter(|_| companies);
        let title = self.title.as_ref().filter(|_| companies);
        format!("{fields:?} {:?} {firm:?} {title:?}", self.label)
    }
}

/// A record of a CRM.
pub struct Card {
    pub crm: Crm,
    pub reference: ExternalRef,
    pub human: usize,
    /// Whether it stands in the CRM.
    pub there: bool,
    pub merged: bool,
    /// Whether another became part of it.
    pub joined: bool,
    /// Whether the filter lets it pass, today or ever.
    pub passes: bool,
    pub passed: bool,
}

impl Card {
    /// Whether it must have a contact.
    pub fn counts(&self) -> bool {
        self.there && self.passes
    }
}

/// A company of one CRM, or of all with one name for ever.
pub struct Firm {
    pub company: Company,
    pub crm: Option<Crm>,
    pub name: String,
}

/// What happened, in order.
#[derive(Debug, Clone)]
pub enum Act {
    Shows(usize, Form),
    Leaves(usize, Leave),
    FirmIs(usize, String),
    /// Somebody in Propstreet set a field of a contact.
    Set(u64, usize, Option<String>),
    Tagged(u64, String),
    /// Somebody added an employment, by company.
    Employed(u64, u64),
    Renamed(u64, String),
    Erased(u64),
    /// A contact that stood in Propstreet before, with these fields.
    Planted(u64, [Option<String>; 7]),
    Foul(bool),
    Settled,
}

/// What may happen at all.
#[derive(Debug, Clone)]
pub struct Laws {
    pub filter: bool,
    pub companies: bool,
}

pub struct City {
    pub sandbox: Sandbox,
    pub laws: Laws,
    pub cards: Vec<Card>,
    /// By human: whether they stay in one CRM for ever, so that names and addresses may change.
    pub alone: Vec<bool>,
    pub erased: BTreeSet<usize>,
    pub firms: Vec<Firm>,
    pub log: Vec<Act>,
    /// Contacts that stood in Propstreet before.
    pub planted: BTreeSet<u64>,
    crowd: Crowd,
    pub rng: fastrand::Rng,
    serial: usize,
}

impl City {
    pub fn new(sandbox: &Sandbox, laws: Laws, seed: u64) -> Self {
        let mut city = Self {
            sandbox: sandbox.clone(),
            laws,
            cards: Vec::new(),
            alone: Vec::new(),
            erased: BTreeSet::new(),
            firms: Vec::new(),
            log: Vec::new(),
            planted: BTreeSet::new(),
            crowd: Crowd::new(seed),
            rng: fastrand::Rng::with_seed(seed ^ 0xC17),
            serial: 0,
        };
        for n in 0..8 {
            let crm = Crm::ALL.get(n % 4).copied();
            let word = ["Nord", "Syd", "Ost", "Vast"][n / 4 + 2 * usize::from(crm.is_none())];
            let name = format!("{word} {}", crm.map_or("Alla", |crm| ["Salt", "Hubb", "Pipa"][crm as usize]));
            let domain = format!("{}.example", name.to_lowercase().replace(' ', "-"));
            let (country, country_code) = ("Sweden".to_owned(), "SE".to_owned());
            let company = Company { name: name.clone(), country, country_code, domain };
            city.firms.push(Firm { company, crm, name });
        }
        city
    }

    /// Somebody nobody knew; in several CRMs or in one.
    pub fn settle(&mut self, crm: Crm) {
        let person = self.newcomer(crm);
        let human = self.alone.len();
        self.alone.push(self.rng.u8(0..3) > 0);
        self.add(crm, human, &person);
        if !self.alone[human] && self.rng.bool() {
            self.meet_again(human);
        }
    }

    /// Some of them may stand in Propstreet already, by address and name alone.
    pub fn plant(&mut self, percent: u8) {
        for human in 0..self.alone.len() {
            let known = self.cards.iter().find(|card| card.human == human && card.passed);
            let Some(person) = known.and_then(|card| self.person(card)).filter(|_| self.rng.u8(0..100) < percent)
            else {
                continue;
            };
            let contact = Contact {
                first_name: Some(person.first),
                last_name: Some(person.last),
                email: person.email,
                strategy: self.rng.bool().then(|| self.word("Held")),
                tags: vec![self.word("held")],
                ..Contact::default()
            };
            let Contact { first_name, last_name, email, strategy, .. } = contact.clone();
            let id = self.sandbox.propstreet.plant(contact);
            self.planted.insert(id);
            // Nobody may be linked to them under another name.
            self.alone[human] = false;
            self.log.push(Act::Planted(id, [first_name, last_name, email, None, strategy, None, None]));
        }
    }

    fn newcomer(&mut self, crm: Crm) -> Person {
        let person = self.crowd.person();
        let label = Some(self.label()).filter(|_| self.rng.u8(0..3) > 0);
        let company = (self.rng.u8(0..4) > 0).then(|| self.firm(crm));
        let (phone, mobile) = (None, self.rng.bool().then(|| self.crowd.mobile()));
        let strategy = self.rng.bool().then(|| self.word("Strategy"));
        let (last, title) = (self.word("Berg"), self.rng.bool().then(|| self.word("Title")));
        Person { last, label, company, phone, mobile, strategy, title, language: None, linkedin: None, ..person }
    }

    fn add(&mut self, crm: Crm, human: usize, person: &Person) {
        let id = match crm {
            Crm::Salesforce => self.sandbox.salesforce.add(person),
            Crm::HubSpot => self.sandbox.hubspot.add(person),
            Crm::Pipedrive => self.sandbox.pipedrive.add(person),
        };
        self.card(crm, human, &id);
    }

    fn card(&mut self, crm: Crm, human: usize, id: &str) {
        let reference = self.sandbox.reference(crm, id);
        self.cards.push(Card {
            crm,
            reference,
            human,
            there: true,
            merged: false,
            joined: false,
            passes: false,
            passed: false,
        });
        self.show(self.cards.len() - 1);
    }

    /// The human turns up in a CRM that does not know them.
    fn meet_again(&mut self, human: usize) {
        let of = |city: &Self| city.cards.iter().position(|card| card.human == human && card.counts());
        let Some(known) = of(self).filter(|_| !self.alone[human] && !self.erased.contains(&human)) else { return };
        let knows = |crm: &Crm| self.cards.iter().any(|card| card.human == human && card.crm == *crm);
        let Some(elsewhere) = Crm::ALL.into_iter().find(|crm| !knows(crm)) else { return };
        let Some(same) = self.person(&self.cards[known]) else { return };
        let person = Person { first: same.first, last: same.last, email: same.email, ..self.newcomer(elsewhere) };
        self.add(elsewhere, human, &person);
    }

    /// Writes down what a record shows now.
    fn show(&mut self, at: usize) {
        let Some(person) = self.person(&self.cards[at]) else { return };
        let out = self.laws.filter && self.is_out(&self.cards[at].reference);
        let form = self.form(&person);
        let card = &mut self.cards[at];
        let passed = std::mem::replace(&mut card.passes, !out);
        card.passed |= !out;
        if !out {
            self.log.push(Act::Shows(at, form));
        } else if passed {
            self.log.push(Act::Leaves(at, Leave::Filtered));
        }
    }

    fn form(&self, person: &Person) -> Form {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let firm = person.company.as_ref().and_then(|it| self.firms.iter().position(|firm| firm.company == *it));
        let fields = [
            text(&person.first),
            text(&person.last),
            person.email.as_ref().map(|email| email.to_lowercase()),
            person.mobile.as_ref().or(person.phone.as_ref()).map(|phone| phone.e164.clone()),
            person.strategy.clone(),
            // A title has its place in an employment.
            person.title.clone().filter(|_| firm.is_some()),
            firm.map(|firm| firm.to_string()),
        ];
        let firm_name = firm.map(|firm| self.firms[firm].name.clone());
        Form { fields, label: person.label.clone(), firm_name, title: person.title.clone() }
    }

    fn is_out(&self, reference: &ExternalRef) -> bool {
        let is_out = |known: &CrmPerson| known.opted_out || known.person.label.as_deref() == Some(OUT);
        self.sandbox.state().into_iter().any(|known| known.reference == *reference && is_out(&known))
    }

    pub fn person(&self, card: &Card) -> Option<Person> {
        let id = card.reference.id.as_str();
        match card.crm {
            Crm::Salesforce => self.sandbox.salesforce.person(id),
            Crm::HubSpot => self.sandbox.hubspot.person(id),
            Crm::Pipedrive => self.sandbox.pipedrive.person(id),
        }
    }
}

/// What people do in the CRMs.
impl City {
    /// One thing by chance.
    pub fn something_happens(&mut self) {
        let at = self.rng.usize(0..self.cards.len());
        let (there, merged, crm, human) = {
            let card = &self.cards[at];
            (card.there, card.merged, card.crm, card.human)
        };
        match self.rng.u8(0..20) {
            _ if merged => {}
            0 | 1 if !there => self.restore(at),
            _ if !there => {}
            0 | 1 => self.delete(at),
            2 => self.merge(at),
            3 => self.meet_again(human),
            4 => self.settle(crm),
            5 | 6 if self.laws.filter => self.opt(at),
            7 | 8 => self.rename_firm(),
            9..12 => {
                let firm = self.firm(crm);
                self.edit(at, |person| person.company = Some(firm));
            }
            12 if self.alone[human] => {
                let name = self.word("Lund");
                self.edit(at, |person| person.last = name);
            }
            13 if self.alone[human] => {
                let address = format!("{}@moved.example", self.word("mail").replace(' ', "."));
                self.edit(at, |person| person.email = Some(address));
            }
            14 => {
                let label = self.label();
                if self.cards[at].passes {
                    self.edit(at, |person| person.label = Some(label));
                }
            }
            // A record that has taken over the numbers of another has more than one.
            15 if !self.cards[at].joined => self.edit(at, |person| (person.mobile, person.phone) = (None, None)),
            16 => self.edit(at, |person| person.strategy = None),
            17 => {
                let strategy = self.word("Strategy");
                self.edit(at, |person| person.strategy = Some(strategy));
            }
            18 => {
                let mobile = self.crowd.mobile();
                self.edit(at, |person| (person.mobile, person.phone) = (Some(mobile), None));
            }
            _ => {
                let title = self.word("Title");
                self.edit(at, |person| person.title = Some(title));
            }
        }
    }

    fn edit(&mut self, at: usize, edit: impl FnOnce(&mut Person)) {
        let Card { crm, reference, .. } = &self.cards[at];
        let id = reference.id.as_str();
        let edited = match crm {
            Crm::Salesforce => self.sandbox.salesforce.edit(id, edit),
            Crm::HubSpot => self.sandbox.hubspot.edit(id, edit),
            Crm::Pipedrive => self.sandbox.pipedrive.edit(id, edit),
        };
        assert!(edited, "a record that is there can be edited");
        self.show(at);
    }

    fn opt(&mut self, at: usize) {
        let Card { crm, passes: out, ref reference, .. } = self.cards[at];
        if crm == Crm::Pipedrive {
            // Its reader sees labels, and no subscriptions.
            let label = if out { OUT.to_owned() } else { self.label() };
            return self.edit(at, |person| person.label = Some(label));
        }
        assert!(self.sandbox.opt_out(reference, out), "a record that is there");
        self.show(at);
    }

    fn delete(&mut self, at: usize) {
        let card = &mut self.cards[at];
        let id = card.reference.id.as_str();
        let gone = match card.crm {
            Crm::Salesforce => self.sandbox.salesforce.delete(id),
            Crm::HubSpot => self.sandbox.hubspot.delete(id),
            Crm::Pipedrive => self.sandbox.pipedrive.delete(id),
        };
        if gone {
            card.there = false;
            self.log.push(Act::Leaves(at, Leave::Deleted));
        }
    }

    fn restore(&mut self, at: usize) {
        let card = &mut self.cards[at];
        let id = card.reference.id.as_str();
        card.there = match card.crm {
            Crm::Salesforce => self.sandbox.salesforce.undelete(id),
            Crm::HubSpot => self.sandbox.hubspot.restore(id),
            Crm::Pipedrive => self.sandbox.pipedrive.restore(id),
        };
        if card.there {
            card.passes = false;
            self.show(at);
        }
    }

    /// Another of the same CRM becomes part of this one; both stand in no other, so nobody's names can disagree.
    fn merge(&mut self, at: usize) {
        let fits = |other: &usize| {
            let [one, other] = [at, *other].map(|at| &self.cards[at]);
            one.human != other.human && one.crm == other.crm && one.counts() && other.counts()
        };
        let lonely = |at: &usize| self.cards.iter().filter(|card| card.human == self.cards[*at].human).count() == 1;
        let other =
            (0..self.cards.len()).filter(fits).filter(|other| self.alone[self.cards[*other].human]).find(lonely);
        let Some(loser) = other.filter(|_| self.alone[self.cards[at].human] && lonely(&at)) else { return };
        let [keeps, goes] = [at, loser].map(|at| self.cards[at].reference.id.clone());
        let (crm, human) = (self.cards[at].crm, self.cards[at].human);
        match crm {
            Crm::Salesforce if self.sandbox.salesforce.merge(&keeps, &goes) => self.merged(loser, human, Leave::Merged),
            // Nobody listens to webhooks here: to a reader the other one is gone.
            Crm::Pipedrive if self.sandbox.pipedrive.merge(&goes, &keeps) => {
                self.merged(loser, human, Leave::Deleted);
                self.cards[at].joined = true;
                self.show(at);
            }
            Crm::HubSpot => {
                let Some(survivor) = self.sandbox.hubspot.merge(&keeps, &goes) else { return };
                self.merged(loser, human, Leave::Merged);
                if survivor == keeps {
                    self.show(at);
                } else {
                    self.merged(at, human, Leave::Merged);
                    self.card(crm, human, &survivor);
                }
            }
            _ => {}
        }
    }

    fn merged(&mut self, loser: usize, into: usize, how: Leave) {
        let card = &mut self.cards[loser];
        (card.there, card.merged, card.human) = (false, true, into);
        self.log.push(Act::Leaves(loser, how));
    }

    fn rename_firm(&mut self) {
        let at = self.rng.usize(0..self.firms.len());
        let Some(crm) = self.firms[at].crm else { return };
        let works = |card: &usize| self.cards[*card].there && self.works_at(&self.cards[*card], at);
        let staff: Vec<usize> = (0..self.cards.len()).filter(works).collect();
        let Some(one) = staff.first().map(|one| self.cards[*one].reference.id.clone()) else { return };
        let name = self.word(&self.firms[at].company.name.clone());
        let renamed = match crm {
            Crm::Salesforce => self.sandbox.salesforce.rename_account(&one, &name),
            Crm::HubSpot => self.sandbox.hubspot.rename_company(&one, &name),
            Crm::Pipedrive => self.sandbox.pipedrive.rename_organization(&one, &name),
        };
        assert!(renamed, "who works there has an employer");
        self.firms[at].name.clone_from(&name);
        self.log.push(Act::FirmIs(at, name));
        staff
            .into_iter()
            .filter(|card| self.cards[*card].passes)
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|card| self.show(card));
    }

    /// A company of this CRM's, or one that all know.
    fn firm(&mut self, crm: Crm) -> Company {
        let fitting: Vec<&Firm> = self.firms.iter().filter(|firm| firm.crm.is_none_or(|of| of == crm)).collect();
        fitting[self.rng.usize(0..fitting.len())].company.clone()
    }

    fn label(&mut self) -> String {
        LABELS[self.rng.usize(0..3)].to_owned()
    }

    /// Never the same twice.
    pub fn word(&mut self, what: &str) -> String {
        self.serial += 1;
        format!("{what} {}", self.serial)
    }
}

/// Whether a field is about an employment.
pub fn of_employment(field: usize) -> bool {
    matches!(field, TITLE | EMPLOYER)
}
