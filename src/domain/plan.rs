//! The decision table: what the ledger and the index know of a ref, and what the record says, to one step. Total and pure.

use crate::domain::Timestamp;
use crate::domain::contact::Contact;
use crate::domain::departure::is_late;
use crate::domain::failure::Complaint;
use crate::domain::fingerprint::Fingerprint;
use crate::domain::identity::RefKey;
use crate::domain::keyed::{Keyed, KeyedHash};
use crate::domain::merge::{Alias, Place};
use crate::domain::pass::{Outcome, SkipReason};

/// What the ledger holds on a ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Unknown,
    /// A write was announced and has no outcome: a crash or a lost answer lies behind us.
    Intended,
    /// It is in Propstreet, as this content.
    Settled {
        /// The content as it was sent, or as it was mapped when the contact was adopted.
        fingerprint: Fingerprint,
    },
    /// It needs a person.
    Quarantined {
        /// The content that was refused; `None` where there was none to fingerprint.
        fingerprint: Option<Fingerprint>,
        /// Whether what blocks it has changed, or its daily try has come.
        due: bool,
    },
    /// It waits to be tried again.
    Deferred {
        /// Whether its time has come.
        due: bool,
    },
    /// Someone deleted it in Propstreet.
    Deleted,
    /// It was merged into another record. Nothing is created for it, whatever else stands.
    Moved(Alias),
    /// The CRM has it no longer.
    Gone {
        /// The stamp of its deletion.
        stamp: Option<Timestamp>,
    },
}

/// A contact as the Propstreet index remembers it: no personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// Propstreet's id.
    pub id: String,
    /// The row version.
    pub etag: Option<String>,
    /// Whether it is deleted.
    pub deleted: bool,
    /// Every address, hashed; the primary first.
    pub emails: Vec<KeyedHash>,
    /// The name, hashed.
    pub name: Option<KeyedHash>,
    /// Every ref.
    pub refs: Vec<RefKey>,
}

/// What the index holds on a draft: the owners of its ref, of its address, and of those it replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holders {
    /// The contact that carries our ref.
    pub by_ref: Option<Indexed>,
    /// The contact that has our address; a live one is preferred to a deleted one.
    pub by_email: Option<Indexed>,
    /// Where those stand that the CRM has merged into this record.
    pub by_merge: Place,
}

/// What else bears on a record that has a contact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Course {
    /// Contacts follow their records.
    pub follows: bool,
    /// It is looked at anew, whatever is known of it.
    pub again: bool,
    /// The contact it was settled on, and with which content; also while it waits or needs a person.
    pub settled: Option<(String, Fingerprint)>,
}

/// What is to be done about one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the record ends like this.
    Rest(Rest),
    /// The record cannot be sent.
    Quarantine(Complaint),
    /// An announced write must be settled by a look-up before anything else.
    LookUp,
    /// Propstreet has this ref on a contact that is plainly this person.
    Adopt(Indexed),
    /// Propstreet has this ref on a contact whose hashes differ: read it and compare in clear.
    Compare(Indexed),
    /// Propstreet has this address on another contact: section E.
    SamePerson(Indexed),
    /// A record that was merged into this one is on this contact: our ref joins it there.
    Inherit(String),
    /// It is settled on this contact, which is to follow it.
    Change(String),
    /// Nobody has it.
    Create,
}

/// An ending that needs no request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rest {
    /// As it was.
    Unchanged,
    /// Left alone.
    Skipped(SkipReason),
    /// Still in quarantine, unchanged.
    StillQuarantined,
    /// Still waiting for its time.
    StillDeferred,
}

impl Rest {
    /// How the books call it.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unchanged => Outcome::Unchanged,
            Self::Skipped(_) => Outcome::Skipped,
            Self::StillQuarantined => Outcome::Quarantined,
            Self::StillDeferred => Outcome::Deferred,
        }
    }
}

/// What can be said from the stamp alone, before a record is fetched or mapped: a row whose stamp is known is as it was.
/// Who `replaces` somebody that is not settled yet is looked at in any case.
#[must_use]
pub fn glance(standing: &Standing, known: Option<Timestamp>, shown: Option<Timestamp>, replaces: bool) -> Option<Rest> {
    let same = known.is_some() && known == shown;
    match standing {
        Standing::Moved(_) | Standing::Gone { .. } if is_back(standing, shown) => None,
        Standing::Moved(Alias { survivor, .. }) => Some(Rest::Skipped(SkipReason::MergedInto(survivor.clone()))),
        Standing::Gone { .. } => Some(Rest::Skipped(SkipReason::Gone)),
        _ if replaces => None,
        Standing::Settled { .. } if same => Some(Rest::Unchanged),
        Standing::Quarantined { due: false, .. } if same => Some(Rest::StillQuarantined),
        Standing::Deferred { due: false } if same => Some(Rest::StillDeferred),
        Standing::Deleted => Some(Rest::Skipped(SkipReason::DeletedInPropstreet)),
        Standing::Unknown
        | Standing::Intended
        | Standing::Settled { .. }
        | Standing::Quarantined { .. }
        | Standing::Deferred { .. } => None,
    }
}

/// Whether a record that had left is shown alive again, taken out of the bin, rather than late. A merge is undone only
/// on a stamp's word.
#[must_use]
pub fn is_back(standing: &Standing, shown: Option<Timestamp>) -> bool {
    match standing {
        Standing::Moved(Alias { stamp, .. }) => shown.is_some() && stamp.is_some() && !is_late(shown, *stamp),
        Standing::Gone { stamp } => !is_late(shown, *stamp),
        _ => false,
    }
}

/// The step for one record.
#[must_use]
pub fn decide(
    standing: &Standing,
    mapped: &Result<Contact, Complaint>,
    holders: &Holders,
    course: &Course,
    keyed: &Keyed,
) -> Step {
    let ignored = Step::Rest(Rest::Skipped(SkipReason::ChangeIgnored));
    let contact = match (standing, mapped) {
        (Standing::Deleted, _) => return Step::Rest(Rest::Skipped(SkipReason::DeletedInPropstreet)),
        (Standing::Moved(Alias { survivor, .. }), _) => {
            return Step::Rest(Rest::Skipped(SkipReason::MergedInto(survivor.clone())));
        }
        (Standing::Gone { .. }, _) => return Step::Rest(Rest::Skipped(SkipReason::Gone)),
        // An announced write is settled even if the record has become invalid since: Propstreet may hold it.
        (Standing::Intended, _) => return Step::LookUp,
        (_, Err(_)) if !course.follows && has_contact(standing, course) => return ignored,
        (_, Err(complaint)) => return Step::Quarantine(complaint.clone()),
        (_, Ok(contact)) => contact,
    };
    let now = Fingerprint::of(contact);
    match standing {
        Standing::Settled { fingerprint } if *fingerprint == now && !(course.follows && course.again) => {
            Step::Rest(Rest::Unchanged)
        }
        // Whose contact it may join is news to who was put aside.
        Standing::Quarantined { fingerprint: Some(refused), due: false }
            if *refused == now && !course.again && holders.by_merge == Place::Nowhere =>
        {
            Step::Rest(Rest::StillQuarantined)
        }
        _ => match &course.settled {
            Some((on, _)) if course.follows && has_contact(standing, course) => Step::Change(on.clone()),
            _ if matches!(standing, Standing::Settled { .. }) => ignored,
            Some((_, sent)) if *sent != now && has_contact(standing, course) => ignored,
            // Never a second contact for who has one: what became of that, it says itself.
            Some((on, _)) if holders.by_ref.is_none() && has_contact(standing, course) => Step::Change(on.clone()),
            _ => place(contact, holders, keyed),
        },
    }
}

/// Whether a record has a contact of its own: it is settled, or was when it came to wait or to need a person.
fn has_contact(standing: &Standing, course: &Course) -> bool {
    match standing {
        Standing::Settled { .. } => true,
        Standing::Quarantined { .. } | Standing::Deferred { .. } => course.settled.is_some(),
        _ => false,
    }
}

/// Where a contact that is not settled belongs.
fn place(contact: &Contact, holders: &Holders, keyed: &Keyed) -> Step {
    match (&holders.by_ref, &holders.by_merge, &holders.by_email) {
        (Some(holder), ..) if holder.deleted => Step::Rest(Rest::Skipped(SkipReason::DeletedInPropstreet)),
        (Some(holder), ..) if plainly_same(contact, holder, keyed) => Step::Adopt(holder.clone()),
        (Some(holder), ..) => Step::Compare(holder.clone()),
        (None, Place::On(contact), _) => Step::Inherit(contact.clone()),
        (None, Place::Deleted, _) => Step::Rest(Rest::Skipped(SkipReason::DeletedInPropstreet)),
        (None, Place::Nowhere, Some(owner)) => Step::SamePerson(owner.clone()),
        (None, Place::Nowhere, None) => Step::Create,
    }
}

/// Whether the hashes alone show that nothing contradicts: the address agrees, or the name does, or nothing can be compared.
fn plainly_same(contact: &Contact, holder: &Indexed, keyed: &Keyed) -> bool {
    let email = contact.email().map(|address| keyed.email(address));
    let name = keyed.name(contact.first_name(), contact.last_name());
    let by_email = email.map(|hash| holder.emails.contains(&hash));
    let by_name = name.map(|hash| holder.name == Some(hash));
    let comparable = (email.is_some() && !holder.emails.is_empty()) || (name.is_some() && holder.name.is_some());
    by_email == Some(true) || by_name == Some(true) || !comparable
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contact::Draft;
    use crate::domain::failure::Reason;
    use crate::domain::limits;

    fn keyed() -> Keyed {
        Keyed::new([7; 32])
    }

    fn contact(name: &str, email: &str) -> Contact {
        let text = |t: &str| Some(t.to_owned());
        let (first_name, last_name) = name.split_once(' ').map_or((None, None), |(f, l)| (text(f), text(l)));
        let phone = text("+46701234567");
        limits::check(Draft { first_name, last_name, email: text(email), phone, ..Draft::default() }).expect("valid")
    }

    fn indexed(id: &str, name: &str, email: &str) -> Indexed {
        let (first, last) = name.split_once(' ').unwrap_or_default();
        let emails = email.split(' ').filter(|e| !e.is_empty()).map(|e| keyed().email(e)).collect();
        let name = keyed().name(Some(first), Some(last));
        Indexed { id: id.to_owned(), etag: None, deleted: false, emails, name, refs: Vec::new() }
    }

    fn anna() -> Contact {
        contact("Anna Berg", "anna@x.se")
    }

    /// What the ledger holds, by the words of the tables below.
    fn standing(word: &str) -> Standing {
        let same = Fingerprint::of(&anna());
        let other = Fingerprint::of(&contact("Anna Lund", "anna@x.se"));
        let survivor = || RefKey::from_parts("hubspot", "2");
        match word {
            "unknown" => Standing::Unknown,
            "intended" => Standing::Intended,
            "settled, same" => Standing::Settled { fingerprint: same },
            "settled, other" => Standing::Settled { fingerprint: other },
            "quarantined, same" => Standing::Quarantined { fingerprint: Some(same), due: false },
            "quarantined, same, due" => Standing::Quarantined { fingerprint: Some(same), due: true },
            "quarantined, other" => Standing::Quarantined { fingerprint: Some(other), due: false },
            "quarantined, other, due" => Standing::Quarantined { fingerprint: Some(other), due: true },
            "quarantined, unmapped" => Standing::Quarantined { fingerprint: None, due: false },
            "quarantined, unmapped, due" => Standing::Quarantined { fingerprint: None, due: true },
            "deferred" => Standing::Deferred { due: false },
            "deferred, due" => Standing::Deferred { due: true },
            "deleted" => Standing::Deleted,
            "moved" => Standing::Moved(Alias { survivor: survivor(), stamp: Timestamp::from_timestamp(2, 0) }),
            "moved, undated" => Standing::Moved(Alias { survivor: survivor(), stamp: None }),
            "gone" => Standing::Gone { stamp: Timestamp::from_timestamp(2, 0) },
            "gone, undated" => Standing::Gone { stamp: None },
            _ => panic!("no such standing: {word}"),
        }
    }

    /// Who holds the ref (R) and the address (E) of Anna Berg, and who was merged into her (M), by the words of the table
    /// below.
    fn holders(word: &str) -> Holders {
        let merged = || Place::On("M".to_owned());
        let deleted = |holder: Indexed| Some(Indexed { deleted: true, ..holder });
        let by_ref = Some(indexed("R", "Anna Berg", "anna@x.se"));
        let by_email = Some(indexed("E", "Anna Berg", "anna@x.se"));
        match word {
            "nobody" => Holders::default(),
            "R same" => Holders { by_ref, ..Holders::default() },
            "R differs" => Holders { by_ref: Some(indexed("R", "Bo Lund", "bo@x.se")), ..Holders::default() },
            "R deleted" => Holders { by_ref: by_ref.and_then(deleted), ..Holders::default() },
            "E" => Holders { by_email, ..Holders::default() },
            "E deleted" => Holders { by_email: by_email.and_then(deleted), ..Holders::default() },
            "R same, E" => Holders { by_ref, by_email, ..Holders::default() },
            "R deleted, E" => Holders { by_ref: by_ref.and_then(deleted), by_email, ..Holders::default() },
            "M" => Holders { by_merge: merged(), ..Holders::default() },
            "M, E" => Holders { by_email, by_merge: merged(), ..Holders::default() },
            "M, R same" => Holders { by_ref, by_merge: merged(), ..Holders::default() },
            "M deleted, E" => Holders { by_email, by_merge: Place::Deleted, ..Holders::default() },
            _ => panic!("no such holders: {word}"),
        }
    }

    fn rest(rest: &Rest) -> String {
        match rest {
            Rest::Unchanged => "unchanged".to_owned(),
            Rest::Skipped(SkipReason::ChangeIgnored) => "ignored".to_owned(),
            Rest::Skipped(SkipReason::DeletedInPropstreet) => "deleted".to_owned(),
            Rest::Skipped(SkipReason::MergedInto(survivor)) => format!("→ {survivor}"),
            Rest::Skipped(reason) => reason.code(),
            Rest::StillQuarantined => "quarantined".to_owned(),
            Rest::StillDeferred => "deferred".to_owned(),
        }
    }

    fn word(step: &Step) -> String {
        match step {
            Step::Rest(ending) => rest(ending),
            Step::Quarantine(complaint) => format!("complain {}", complaint.reason),
            Step::LookUp => "LOOK UP".to_owned(),
            Step::Adopt(holder) => format!("ADOPT {}", holder.id),
            Step::Compare(holder) => format!("COMPARE {}", holder.id),
            Step::SamePerson(owner) => format!("SAME? {}", owner.id),
            Step::Inherit(contact) => format!("INHERIT {contact}"),
            Step::Change(contact) => format!("CHANGE {contact}"),
            Step::Create => "CREATE".to_owned(),
        }
    }

    /// The cells of a table whose first row and first column are headings.
    fn cells(table: &str) -> Vec<(&str, &str, &str)> {
        let mut rows = table.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        let heads = rows.next().expect("a heading");
        let cells = rows.flat_map(|row| {
            assert_eq!(row.len(), heads.len(), "{row:?}");
            heads.iter().zip(row.clone()).skip(1).map(|(head, cell)| (row[0], *head, cell)).collect::<Vec<_>>()
        });
        cells.collect()
    }

    /// Every standing of a record that maps, under all that Propstreet may hold. A ref is stronger than an address, and
    /// what the ledger has settled or someone has deleted is not looked for.
    const MAPPED: &str = "\
                           | nobody      | R same      | R differs   | R deleted   | E           | E deleted   | R same, E   | R deleted, E | M           | M, E        | M, R same   | M deleted, E
unknown                    | CREATE      | ADOPT R     | COMPARE R   | deleted     | SAME? E     | SAME? E     | ADOPT R     | deleted     | INHERIT M   | INHERIT M   | ADOPT R     | deleted
intended                   | LOOK UP     | LOOK UP     | LOOK UP     | LOOK UP     | LOOK UP     | LOOK UP     | LOOK UP     | LOOK UP     | LOOK UP     | LOOK UP     | LOOK UP     | LOOK UP
settled, same              | unchanged   | unchanged   | unchanged   | unchanged   | unchanged   | unchanged   | unchanged   | unchanged   | unchanged   | unchanged   | unchanged   | unchanged
settled, other             | ignored     | ignored     | ignored     | ignored     | ignored     | ignored     | ignored     | ignored     | ignored     | ignored     | ignored     | ignored
quarantined, same          | quarantined | quarantined | quarantined | quarantined | quarantined | quarantined | quarantined | quarantined | INHERIT M   | INHERIT M   | ADOPT R     | deleted
quarantined, same, due     | CREATE      | ADOPT R     | COMPARE R   | deleted     | SAME? E     | SAME? E     | ADOPT R     | deleted     | INHERIT M   | INHERIT M   | ADOPT R     | deleted
quarantined, other         | CREATE      | ADOPT R     | COMPARE R   | deleted     | SAME? E     | SAME? E     | ADOPT R     | deleted     | INHERIT M   | INHERIT M   | ADOPT R     | deleted
quarantined, other, due    | CREATE      | ADOPT R     | COMPARE R   | deleted     | SAME? E     | SAME? E     | ADOPT R     | deleted     | INHERIT M   | INHERIT M   | ADOPT R     | deleted
quarantined, unmapped      | CREATE      | ADOPT R     | COMPARE R   | deleted     | SAME? E     | SAME? E     | ADOPT R     | deleted     | INHERIT M   | INHERIT M   | ADOPT R     | deleted
quarantined, unmapped, due | CREATE      | ADOPT R     | COMPARE R   | deleted     | SAME? E     | SAME? E     | ADOPT R     | deleted     | INHERIT M   | INHERIT M   | ADOPT R     | deleted
deferred                   | CREATE      | ADOPT R     | COMPARE R   | deleted     | SAME? E     | SAME? E     | ADOPT R     | deleted     | INHERIT M   | INHERIT M   | ADOPT R     | deleted
deferred, due              | CREATE      | ADOPT R     | COMPARE R   | deleted     | SAME? E     | SAME? E     | ADOPT R     | deleted     | INHERIT M   | INHERIT M   | ADOPT R     | deleted
deleted                    | deleted     | deleted     | deleted     | deleted     | deleted     | deleted     | deleted     | deleted     | deleted     | deleted     | deleted     | deleted
moved                      | → hubspot:2 | → hubspot:2 | → hubspot:2 | → hubspot:2 | → hubspot:2 | → hubspot:2 | → hubspot:2 | → hubspot:2 | → hubspot:2 | → hubspot:2 | → hubspot:2 | → hubspot:2
gone                       | gone        | gone        | gone        | gone        | gone        | gone        | gone        | gone        | gone        | gone        | gone        | gone";

    /// The same for a record that does not map; who holds what makes no difference then.
    const UNMAPPED: &str = "\
                           | any holders
unknown                    | complain invalid_field
intended                   | LOOK UP
settled, same              | ignored
settled, other             | ignored
quarantined, same          | complain invalid_field
quarantined, same, due     | complain invalid_field
quarantined, other         | complain invalid_field
quarantined, other, due    | complain invalid_field
quarantined, unmapped      | complain invalid_field
quarantined, unmapped, due | complain invalid_field
deferred                   | complain invalid_field
deferred, due              | complain invalid_field
deleted                    | deleted
moved                      | → hubspot:2
gone                       | gone";

    #[test]
    fn every_cell_of_the_decision_table() {
        for (row, head, expected) in cells(MAPPED) {
            let step = decide(&standing(row), &Ok(anna()), &holders(head), &course(row, ""), &keyed());
            assert_eq!(word(&step), expected, "{row} × {head}");
        }
        let complaint = Complaint::new(Reason::InvalidField, "email: 6 characters, no @");
        for (row, _, expected) in cells(UNMAPPED) {
            for (_, head, _) in cells(MAPPED) {
                let step = decide(&standing(row), &Err(complaint.clone()), &holders(head), &course(row, ""), &keyed());
                assert_eq!(word(&step), expected, "{row} × {head}, unmapped");
            }
        }
    }

    /// What else bears on a row of the tables: whether contacts follow, whether it is looked at anew, and the contact of
    /// one that is settled or `was`.
    fn course(row: &str, head: &str) -> Course {
        let was = row.split_once(", was ").or(row.split_once("settled, "));
        let settled = was.and_then(|(_, word)| match standing(&format!("settled, {word}")) {
            Standing::Settled { fingerprint } => Some(("S".to_owned(), fingerprint)),
            _ => None,
        });
        Course { follows: head.contains("update"), again: head.contains("again"), settled }
    }

    /// Those who have a contact of their own, and those who have not, by the operator's word on changes. The holders are
    /// somebody else's: who has a contact is compared with nobody.
    const FOLLOWING: &str = "\
                                   | ignore      | ignore, again | update      | update, again | update, unmapped      | ignore, unmapped
unknown                            | CREATE      | CREATE        | CREATE      | CREATE        | complain invalid_field | complain invalid_field
intended                           | LOOK UP     | LOOK UP       | LOOK UP     | LOOK UP       | LOOK UP                | LOOK UP
settled, same                      | unchanged   | unchanged     | unchanged   | CHANGE S      | complain invalid_field | ignored
settled, other                     | ignored     | ignored       | CHANGE S    | CHANGE S      | complain invalid_field | ignored
quarantined, same                  | quarantined | CREATE        | quarantined | CREATE        | complain invalid_field | complain invalid_field
quarantined, same, was other       | quarantined | ignored       | quarantined | CHANGE S      | complain invalid_field | ignored
quarantined, same, due, was other  | ignored     | ignored       | CHANGE S    | CHANGE S      | complain invalid_field | ignored
quarantined, other, was other      | ignored     | ignored       | CHANGE S    | CHANGE S      | complain invalid_field | ignored
quarantined, unmapped, was same    | CHANGE S    | CHANGE S      | CHANGE S    | CHANGE S      | complain invalid_field | ignored
deferred                           | CREATE      | CREATE        | CREATE      | CREATE        | complain invalid_field | complain invalid_field
deferred, was other                | ignored     | ignored       | CHANGE S    | CHANGE S      | complain invalid_field | ignored
deferred, due, was same            | CHANGE S    | CHANGE S      | CHANGE S    | CHANGE S      | complain invalid_field | ignored
deleted                            | deleted     | deleted       | deleted     | deleted       | deleted                | deleted
moved                              | → hubspot:2 | → hubspot:2   | → hubspot:2 | → hubspot:2   | → hubspot:2            | → hubspot:2
gone                               | gone        | gone          | gone        | gone          | gone                   | gone";

    #[test]
    fn who_has_a_contact_follows_or_is_left_as_it_is() {
        for (row, head, expected) in cells(FOLLOWING) {
            let mapped = match head.contains("unmapped") {
                true => Err(Complaint::new(Reason::InvalidField, "email: 6 characters, no @")),
                false => Ok(anna()),
            };
            let (standing, course) = (standing(row.split(", was ").next().unwrap_or_default()), course(row, head));
            let step = decide(&standing, &mapped, &Holders::default(), &course, &keyed());
            assert_eq!(word(&step), expected, "{row} × {head}");
        }
    }

    #[test]
    fn both_tables_have_a_row_for_every_standing() {
        let rows = |table: &'static str| cells(table).into_iter().map(|(row, ..)| row).collect::<Vec<_>>();
        let mut mapped = rows(MAPPED);
        mapped.dedup();
        assert_eq!(mapped, rows(UNMAPPED));
        assert_eq!(mapped.len(), 15);
    }

    /// What a listing alone tells: the stamp is the known one, another (an older, a newer one), or missing on a side. The
    /// last column is a known stamp of a record that replaces another.
    const GLANCES: &str = "\
                           | same        | older       | newer       | unknown     | unshown     | neither     | replaces
unknown                    | -           | -           | -           | -           | -           | -           | -
intended                   | -           | -           | -           | -           | -           | -           | -
settled, same              | unchanged   | -           | -           | -           | -           | -           | -
quarantined, same          | quarantined | -           | -           | -           | -           | -           | -
quarantined, unmapped      | quarantined | -           | -           | -           | -           | -           | -
quarantined, same, due     | -           | -           | -           | -           | -           | -           | -
deferred                   | deferred    | -           | -           | -           | -           | -           | -
deferred, due              | -           | -           | -           | -           | -           | -           | -
deleted                    | deleted     | deleted     | deleted     | deleted     | deleted     | deleted     | -
moved                      | -           | → hubspot:2 | -           | -           | → hubspot:2 | → hubspot:2 | -
moved, undated             | → hubspot:2 | → hubspot:2 | → hubspot:2 | → hubspot:2 | → hubspot:2 | → hubspot:2 | → hubspot:2
gone                       | -           | gone        | -           | -           | -           | -           | -
gone, undated              | -           | -           | -           | -           | -           | -           | -";

    #[test]
    fn every_cell_of_the_glance() {
        let at = |seconds: i64| Timestamp::from_timestamp(seconds, 0);
        for (row, head, expected) in cells(GLANCES) {
            let (known, shown) = match head {
                "same" | "replaces" => (at(2), at(2)),
                "older" => (at(2), at(1)),
                "newer" => (at(2), at(3)),
                "unknown" => (None, at(2)),
                "unshown" => (at(2), None),
                _ => (None, None),
            };
            let seen =
                glance(&standing(row), known, shown, head == "replaces").map_or("-".to_owned(), |ending| rest(&ending));
            assert_eq!(seen, expected, "{row} × {head}");
        }
    }

    #[test]
    fn the_holder_of_a_ref_is_adopted_unless_the_hashes_contradict() {
        for (ours, theirs, expected) in [
            (("Anna Berg", "anna@x.se"), ("Anna Berg", "anna@x.se"), "ADOPT R"),
            (("Anna Berg", "anna@x.se"), ("Bo Lund", "bo@x.se anna@x.se"), "ADOPT R"),
            (("Anna Berg", "anna@x.se"), ("BERG Anna", "bo@x.se"), "ADOPT R"),
            (("Anna Berg", "anna@x.se"), ("Anna Berg", ""), "ADOPT R"),
            (("Anna Berg", "anna@x.se"), ("", ""), "ADOPT R"),
            (("", "anna@x.se"), ("Bo Lund", ""), "ADOPT R"),
            (("Anna Berg", "anna@x.se"), ("Bo Lund", "bo@x.se"), "COMPARE R"),
            (("Anna Berg", "anna@x.se"), ("Bo Lund", ""), "COMPARE R"),
            (("Anna Berg", "anna@x.se"), ("", "bo@x.se"), "COMPARE R"),
            (("", "anna@x.se"), ("Bo Lund", "bo@x.se"), "COMPARE R"),
        ] {
            let by_ref = Some(indexed("R", theirs.0, theirs.1));
            let holders = Holders { by_ref, ..Holders::default() };
            let course = Course::default();
            let step = decide(&Standing::Unknown, &Ok(contact(ours.0, ours.1)), &holders, &course, &keyed());
            assert_eq!(word(&step), expected, "{ours:?} {theirs:?}");
        }
    }

    #[test]
    fn an_ending_has_its_place_in_the_books() {
        for (ending, outcome) in [
            (Rest::Unchanged, Outcome::Unchanged),
            (Rest::Skipped(SkipReason::ChangeIgnored), Outcome::Skipped),
            (Rest::StillQuarantined, Outcome::Quarantined),
            (Rest::StillDeferred, Outcome::Deferred),
        ] {
            assert_eq!(ending.outcome(), outcome);
        }
    }
}
