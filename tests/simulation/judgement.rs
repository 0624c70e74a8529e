//! Propstreet as it is against all that the oracle allows: who is on which contact, every field, tags, employments and
//! companies.

use std::collections::{BTreeMap, BTreeSet};

use propsync::sandbox::propstreet::contact::Contact;

use crate::simulation::changing::Choices;
use crate::simulation::city::{Act, Card, City, EMPLOYER, FIELDS, Form, LABELS, TITLE, of_employment};
use crate::simulation::oracle::{End, Event, Fate, Field, Kind, Leave, Owner, View};

/// What Propstreet shows against what the rules allow. Complaints name a reference whose history tells more.
pub struct Judgement<'a> {
    city: &'a City,
    choices: &'a Choices,
    contacts: Vec<Contact>,
    told: Vec<(Vec<String>, String)>,
}

impl<'a> Judgement<'a> {
    pub fn new(city: &'a City, choices: &'a Choices) -> Self {
        Self { city, choices, contacts: city.sandbox.propstreet.contacts(), told: Vec::new() }
    }

    pub fn passed(mut self) -> Vec<(Vec<String>, String)> {
        self.places();
        for contact in self.contacts.clone() {
            let on_it = |at: &usize| contact.has_ref(&self.city.cards[*at].reference.key());
            let on_it: Vec<usize> = (0..self.city.cards.len()).filter(on_it).collect();
            if !on_it.is_empty() {
                self.contact(&contact, &on_it);
            }
        }
        if self.choices.companies {
            self.companies();
        }
        self.told
    }

    fn tell(&mut self, card: &Card, what: &str) {
        let told = format!("{} {what}", shown(card));
        self.told.push((vec![shown(card)], told));
    }

    /// Everybody who counts is on one contact, with all of their records and with nobody else's.
    fn places(&mut self) {
        let city = self.city;
        let mut contact_of: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
        for card in &city.cards {
            let on: Vec<&Contact> = self.contacts.iter().filter(|c| c.has_ref(&card.reference.key())).collect();
            let live: Vec<u64> = on.iter().filter(|contact| contact.is_live()).map(|contact| contact.id).collect();
            // Of a human whose contact was deleted, nobody comes back, and no other record may take the address.
            let mourned = self.contacts.iter().any(|contact| {
                let human = |other: &&Card| other.human == card.human && contact.has_ref(&other.reference.key());
                !contact.is_live() && city.cards.iter().any(|other| human(&other))
            });
            if live.len() > 1 {
                self.tell(card, &format!("is on several contacts: {live:?}"));
            } else if live.is_empty() && card.counts() && !mourned {
                self.tell(card, "is on no contact");
            } else if !on.is_empty() && !card.passed {
                self.tell(card, "never passed the filter, and is there");
            }
            if card.counts() {
                contact_of.entry(card.human).or_default().extend(live);
            }
        }
        for (human, contacts) in contact_of.iter().filter(|(_, contacts)| contacts.len() > 1) {
            if let Some(card) = city.cards.iter().find(|card| card.human == *human) {
                self.tell(card, &format!("and its other records are on {contacts:?}"));
            }
        }
    }

    fn contact(&mut self, contact: &Contact, on_it: &[usize]) {
        let (city, choices) = (self.city, self.choices);
        let cards: Vec<&Card> = on_it.iter().map(|at| &city.cards[*at]).collect();
        let humans: BTreeSet<usize> = cards.iter().map(|card| card.human).collect();
        if humans.len() > 1 {
            self.tell(cards[0], &format!("shares contact {} with another human", contact.id));
        }
        let sources: Vec<usize> = cards.iter().map(|card| card.crm as usize).collect();
        let shown = self.shown(contact);
        for (at, value) in shown.into_iter().enumerate() {
            if of_employment(at) && !choices.companies || at == TITLE && !self.has_one_title(on_it) {
                continue;
            }
            let kind = if of_employment(at) { Kind::Employment } else { Kind::Text };
            let owner = choices.owner(at);
            let end = End { alive: contact.is_live(), value };
            self.field(contact, on_it, &sources, (FIELDS[at], kind, owner), &end, &|form| form.fields[at].clone());
        }
        for label in LABELS {
            let value = Some(label.to_owned()).filter(|label| contact.tags.contains(label));
            let end = End { alive: contact.is_live(), value };
            let of = |form: &Form| form.label.clone().filter(|it| it == label);
            self.field(contact, on_it, &sources, (label, Kind::Tag, choices.tags), &end, &of);
        }
        if contact.is_live() {
            self.tags(contact, on_it);
            self.employments(contact, on_it);
        }
    }

    /// Each employment has a title of its own: which of them shows is known where one record gives one.
    fn has_one_title(&self, on_it: &[usize]) -> bool {
        let last = self.city.log.iter().rev().find_map(|act| match act {
            Act::Shows(card, form) if on_it.contains(card) => Some(form),
            _ => None,
        });
        on_it.len() == 1 && last.is_some_and(|form| form.fields[TITLE].is_some())
    }

    /// The fields of a contact as they are compared.
    fn shown(&self, contact: &Contact) -> [Option<String>; 7] {
        let links = self.city.sandbox.propstreet.links();
        let primary = links.into_iter().find(|l| l.contact == contact.id && l.deleted.is_none() && l.primary);
        let firm = primary.as_ref().and_then(|link| self.city.firm_of(link.company)).map(|firm| firm.to_string());
        [
            contact.first_name.clone(),
            contact.last_name.clone(),
            contact.email.as_ref().map(|email| email.to_lowercase()),
            contact.phone.clone(),
            contact.strategy.clone(),
            primary.and_then(|link| link.job_title),
            firm,
        ]
    }

    fn field(
        &mut self,
        contact: &Contact,
        on_it: &[usize],
        sources: &[usize],
        (field, kind, owner): (&str, Kind, Owner),
        end: &End,
        of: &dyn Fn(&Form) -> Option<String>,
    ) {
        let (city, choices) = (self.city, self.choices);
        let planted = city.planted.contains(&contact.id);
        let mut contents: Vec<String> = Vec::new();
        let mut numbered = |content: String| {
            let at = contents.iter().position(|known| *known == content).unwrap_or(contents.len());
            if at == contents.len() {
                contents.push(content);
            }
            at as u64
        };
        let mut before = None;
        let mut events = Vec::new();
        for act in &city.log {
            let place = |card: &usize| on_it.iter().position(|at| at == card);
            events.extend(match act {
                Act::Shows(card, form) => place(card).map(|place| {
                    let (content, mapped) = (numbered(form.content(true)), numbered(form.content(choices.companies)));
                    Event::Shows(place, View { value: of(form), content, mapped })
                }),
                Act::Leaves(card, how) => place(card).map(|place| Event::Leaves(place, *how)),
                Act::Set(id, at, value) if *id == contact.id => {
                    Some(if FIELDS[*at] == field { Event::Set(value.clone()) } else { Event::Touched { surely: true } })
                }
                Act::Tagged(id, _) if *id == contact.id => Some(Event::Touched { surely: true }),
                Act::Employed(id, _) if *id == contact.id => Some(Event::Touched { surely: false }),
                // Whether a company's name is a part of its people's version is not said.
                Act::Renamed(..) | Act::FirmIs(..) if choices.companies => Some(Event::Touched { surely: false }),
                Act::Planted(id, fields) if *id == contact.id => {
                    before = FIELDS.iter().position(|it| *it == field).map(|at| fields[at].clone());
                    None
                }
                Act::Erased(id) if *id == contact.id => Some(Event::Erased),
                Act::Foul(foul) => Some(Event::Foul(*foul)),
                Act::Settled => Some(Event::Settled),
                _ => None,
            });
        }
        let before = planted.then(|| before.flatten());
        let ends = Field { rules: &choices.rules, owner, kind, sources, before }.ends(&events);
        // Of a contact that was deleted nobody asks what stood in it.
        let is_right = |allowed: &End| allowed == end || (!end.alive && !allowed.alive);
        if !ends.iter().any(is_right) {
            let whose = on_it.iter().map(|at| shown(&city.cards[*at])).collect();
            let told = format!("{field} of contact {}: {end:?}, allowed is {ends:?}\n    {events:?}", contact.id);
            self.told.push((whose, told));
        }
    }

    /// Nobody's tag is lost, and a mark stands where it must.
    fn tags(&mut self, contact: &Contact, on_it: &[usize]) {
        let (city, rules) = (self.city, &self.choices.rules);
        let card = &city.cards[on_it[0]];
        for act in &city.log {
            if let Act::Tagged(id, tag) = act
                && *id == contact.id
                && !contact.tags.contains(tag)
            {
                self.tell(card, &format!("lost the tag {tag} that somebody gave"));
            }
        }
        for (mark, how, fate) in [
            ("deleted-in-crm", Leave::Deleted, rules.on_delete),
            ("filtered-in-crm", Leave::Filtered, rules.on_filtered),
        ] {
            let ever =
                |at: &usize| city.log.iter().any(|act| matches!(act, Act::Leaves(who, by) if who == at && *by == how));
            let last = |at: &usize| {
                let of = |act: &&Act| matches!(act, Act::Leaves(who, _) | Act::Shows(who, _) if who == at);
                city.log.iter().rev().find(of).is_some_and(|act| matches!(act, Act::Leaves(_, by) if *by == how))
            };
            let marked = contact.tags.iter().any(|tag| tag == mark);
            let (away, were) = (on_it.iter().filter(|at| last(at)).count(), on_it.iter().filter(|at| ever(at)).count());
            let merged = on_it.iter().any(|at| city.cards[*at].merged);
            // Where one of several is back, or lists only grow, or somebody was merged into another, either is right.
            let open = away < were && (away > 0 || !rules.arrays_replace) || merged;
            let must = fate == Fate::Tag && away > 0;
            if !open && marked != must {
                self.tell(card, &format!("should{} be marked {mark}", if must { "" } else { " not" }));
            }
        }
    }

    /// One primary, and nobody's employment is lost or twice there.
    fn employments(&mut self, contact: &Contact, on_it: &[usize]) {
        let card = &self.city.cards[on_it[0]];
        let links = self.city.sandbox.propstreet.links();
        let live: Vec<_> = links.iter().filter(|l| l.contact == contact.id && l.deleted.is_none()).collect();
        let companies: BTreeSet<u64> = live.iter().map(|link| link.company).collect();
        if companies.len() < live.len() {
            self.tell(card, "is employed twice at one company");
        }
        let primaries = live.iter().filter(|link| link.primary).count();
        let half_made = primaries == 0 && self.may_be_half_made(on_it);
        if primaries != usize::from(!live.is_empty()) && !half_made {
            self.tell(card, &format!("has {primaries} primary companies"));
        }
        for act in &self.city.log {
            if let Act::Employed(id, company) = act
                && *id == contact.id
                && !companies.contains(company)
            {
                self.tell(card, &format!("lost the employment at {company} that somebody gave"));
            }
        }
    }

    /// A new link is made the primary one by a second request. Foul weather may come between the two; who has left by the
    /// next sync, or names no employer any more, is written about no more.
    fn may_be_half_made(&self, on_it: &[usize]) -> bool {
        let (mut foul, mut half_made, mut named) = (false, false, BTreeSet::new());
        for act in &self.city.log {
            match act {
                Act::Foul(is) => foul = *is,
                Act::Shows(at, form) if on_it.contains(at) && form.fields[EMPLOYER].is_some() => {
                    named.insert(*at);
                }
                Act::Shows(at, _) | Act::Leaves(at, _) => half_made |= named.remove(at) && foul,
                _ => {}
            }
        }
        half_made && named.is_empty()
    }

    /// Each company once, under its last name unless somebody gave it another.
    fn companies(&mut self) {
        let (city, companies) = (self.city, self.city.sandbox.propstreet.companies());
        for (at, firm) in city.firms.iter().enumerate() {
            let Some(crm) = firm.crm else { continue };
            let live: Vec<_> = companies.iter().filter(|it| it.is_live() && city.firm_of(it.id) == Some(at)).collect();
            let [company] = live[..] else {
                if live.len() > 1 {
                    self.told.push((Vec::new(), format!("{} is {} companies", firm.company.name, live.len())));
                }
                continue;
            };
            // Only a change of somebody who works there, and stands there for nobody else, surely brings its name
            // along.
            let staffed = self.contacts.iter().filter(|contact| contact.is_live()).any(|contact| {
                let on_it: Vec<&Card> =
                    city.cards.iter().filter(|card| contact.has_ref(&card.reference.key())).collect();
                matches!(on_it[..], [card] if card.crm == crm && card.counts() && city.works_at(card, at))
            });
            let mut number = 0;
            let mut shows = |name: &String| {
                number += 1;
                Event::Shows(0, View { value: Some(name.clone()), content: number, mapped: number })
            };
            let mut events = vec![Event::Foul(true), shows(&firm.company.name)];
            events.extend(city.log.iter().filter_map(|act| match act {
                Act::FirmIs(firm, name) if *firm == at => Some(shows(name)),
                Act::Renamed(id, name) if *id == company.id => Some(Event::Set(Some(name.clone()))),
                _ => None,
            }));
            events.extend(staffed.then_some(Event::Settled));
            let (kind, owner, rules) = (Kind::Text, Owner::Propstreet, &self.choices.rules);
            let ends = Field { rules, owner, kind, sources: &[0], before: None }.ends(&events);
            let end = End { alive: true, value: Some(company.name.clone()) };
            if !ends.contains(&end) {
                self.told.push((
                    Vec::new(),
                    format!("company {}: {end:?}, allowed is {ends:?}\n    {events:?}", company.id),
                ));
            }
        }
    }
}

fn shown(card: &Card) -> String {
    format!("{}:{}", card.reference.namespace, card.reference.id)
}
