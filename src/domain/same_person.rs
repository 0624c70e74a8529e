//! Is the owner of an address the person of a record? (protocol §E). Pure: the evidence in, a judgement out. It says
//! yes only when everything speaks for it; a shared mailbox must never join two people.

use crate::domain::failure::{Complaint, Reason};
use crate::domain::identity::RefKey;
use crate::domain::keyed::{Keyed, KeyedHash};
use crate::domain::names::{self, Agreement, PersonName};

/// What is known of both sides.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// The ref we would add.
    pub key: &'a RefKey,
    /// The address both have.
    pub email: &'a str,
    /// The record's name.
    pub name: PersonName<'a>,
    /// The owner's Propstreet id.
    pub owner: &'a str,
    /// The owner's name.
    pub owner_name: PersonName<'a>,
    /// The owner's refs whose CRM records still live, as far as anyone can tell.
    pub owner_refs: &'a [RefKey],
    /// Names of the records already settled on the owner, as hashed at that time.
    pub linked_names: &'a [Option<KeyedHash>],
    /// Makes hashes that compare with those.
    pub keyed: &'a Keyed,
    /// Addresses of ours that belong to a role, besides the usual ones.
    pub role_addresses: &'a [String],
    /// Whether a person decided that these two are never to be joined.
    pub never_link: bool,
    /// Whether a person decided that they are one.
    pub decided: bool,
}

/// Joins the two, or says why not.
pub fn judge(evidence: &Evidence<'_>) -> Result<(), Complaint> {
    let taken = |why: &str| {
        let detail = format!("the address belongs to contact {}: {why}", evidence.owner);
        Err(Complaint::new(Reason::EmailTaken, detail).blocked_by(evidence.owner))
    };
    if evidence.owner_refs.iter().any(|other| other.namespace == evidence.key.namespace && other != evidence.key) {
        let detail =
            format!("contact {} has the address and already stands for another record of this CRM", evidence.owner);
        return Err(Complaint::new(Reason::SameSourceEmail, detail).blocked_by(evidence.owner));
    }
    if evidence.decided {
        return Ok(());
    }
    if names::is_role_address(evidence.email, evidence.role_addresses) {
        return taken("it is a role's address, not a person's");
    }
    if evidence.never_link {
        return taken("it was decided never to join the two");
    }
    match names::agree(evidence.name, evidence.owner_name) {
        Agreement::Yes => {}
        Agreement::No => return taken("the names differ"),
        Agreement::Unknown => return taken("a first or last name is missing on one side"),
    }
    // A contact that two records share already must agree with both, not only with the name it shows today.
    let agreeing = [evidence.name, evidence.owner_name].map(|name| spellings(evidence.keyed, name)).concat();
    if evidence.linked_names.iter().flatten().any(|linked| !agreeing.contains(linked)) {
        return taken("a record linked to it earlier has another name");
    }
    Ok(())
}

/// The hashes of a name's spellings: in full, and with an initial in place of the first name.
fn spellings(keyed: &Keyed, name: PersonName<'_>) -> Vec<KeyedHash> {
    let initial = name.first.and_then(|first| first.trim().chars().next()).map(String::from);
    [keyed.name(name.first, name.last), keyed.name(initial.as_deref(), name.last)].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name as `First Last`; `-` in place of a part that is missing.
    fn name(text: &str) -> PersonName<'_> {
        let (first, last) = text.split_once(' ').expect("two parts");
        PersonName { first: Some(first).filter(|f| *f != "-"), last: Some(last).filter(|l| *l != "-") }
    }

    fn key(text: &str) -> RefKey {
        let (namespace, id) = text.split_once(':').expect("namespace:id");
        RefKey::from_parts(namespace, id)
    }

    /// Ours, theirs, the address, the owner's refs, the names settled on the owner, and what is said: `join`, or the
    /// reason and a word of why.
    const CASES: &str = "\
        Anna Berg | Anna Berg | anna@b.se    |                  |             | join
        ÅSA ÖBERG | Oberg Asa | asa@b.se     |                  |             | join
        A. Berg   | Anna Berg | anna@b.se    |                  |             | join
        Anna Berg | A Berg    | anna@b.se    |                  |             | join
        A. Dahl   | Anna Berg | anna@b.se    |                  |             | email_taken differ
        Bo Berg   | Anna Berg | anna@b.se    |                  |             | email_taken differ
        Anna -    | Anna Berg | anna@b.se    |                  |             | email_taken missing
        - Berg    | Anna Berg | anna@b.se    |                  |             | email_taken missing
        Anna Berg | - -       | anna@b.se    |                  |             | email_taken missing
        Anna Berg | Anna Berg | info@b.se    |                  |             | email_taken role
        Anna Berg | Anna Berg | vd2@b.se     |                  |             | email_taken role
        Anna Berg | Anna Berg | anna@b.se    | pipedrive:1      |             | join
        Anna Berg | Anna Berg | anna@b.se    | hubspot:7        |             | join
        Anna Berg | Anna Berg | anna@b.se    | hubspot:8        |             | same_source_email another
        Anna Berg | Anna Berg | info@b.se    | a:1 hubspot:8    |             | same_source_email another
        Anna Berg | Bo Dahl   | anna@b.se    | hubspot:8        |             | same_source_email another
        Anna Berg | Anna Berg | anna@b.se    | pipedrive:1      | Anna Berg   | join
        Anna Berg | Anna Berg | anna@b.se    | pipedrive:1      | BERG anna   | join
        Anna Berg | A. Berg   | anna@b.se    | pipedrive:1      | Anna Berg   | join
        A. Berg   | Anna Berg | anna@b.se    | pipedrive:1      | A Berg      | join
        Anna Berg | Anna Berg | anna@b.se    | pipedrive:1      | - -         | join
        Anna Berg | Anna Berg | anna@b.se    | pipedrive:1      | Bo Dahl     | email_taken earlier
        Anna Berg | Anna Berg | anna@b.se    | a:1 pipedrive:1  | Anna Berg, Bo Dahl | email_taken earlier
        A. Berg   | A. Berg   | anna@b.se    | pipedrive:1      | Anna Berg   | email_taken earlier";

    #[test]
    fn every_row_of_the_evidence() {
        let keyed = Keyed::new([7; 32]);
        let (ours_key, roles) = (RefKey::from_parts("hubspot", "7"), ["vd@".to_owned()]);
        for row in CASES.lines() {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [ours, theirs, email, refs, linked, expected] = cells[..] else { panic!("{row}") };
            let owner_refs: Vec<RefKey> = refs.split_whitespace().map(key).collect();
            let linked_names: Vec<_> = linked
                .split(", ")
                .filter(|linked| !linked.is_empty())
                .map(|linked| keyed.name(name(linked).first, name(linked).last))
                .collect();
            let evidence = |never_link| Evidence {
                key: &ours_key,
                email,
                name: name(ours),
                owner: "c1",
                owner_name: name(theirs),
                owner_refs: &owner_refs,
                linked_names: &linked_names,
                keyed: &keyed,
                role_addresses: &roles,
                never_link,
                decided: false,
            };
            let (reason, why) = expected.split_once(' ').unwrap_or((expected, ""));
            match judge(&evidence(false)) {
                Ok(()) => assert_eq!(expected, "join", "{row}"),
                Err(complaint) => {
                    assert_eq!(complaint.reason.code(), reason, "{row}");
                    assert!(complaint.detail.contains(why), "{row}: {}", complaint.detail);
                    assert_eq!(complaint.blocker.as_deref(), Some("c1"), "{row}");
                    assert!(!complaint.detail.contains('@') && !complaint.detail.contains("Berg"), "{row}");
                }
            }
            assert!(judge(&evidence(true)).is_err(), "{row}: decided never to join");
        }
    }

    /// The examples a reader is given are what happens.
    #[test]
    fn the_page_tells_the_rule() {
        let page = include_str!("../../docs/identity.md");
        let rows = page.lines().filter(|row| row.contains(" | join") || row.contains(" | not"));
        let mut told = 0;
        for row in rows {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [_, ours, theirs, verdict, _] = cells[..] else { panic!("{row}") };
            let name = |text: &'static str| match text.split_once(' ') {
                _ if text == "no name" => PersonName::default(),
                Some((first, last)) => PersonName::new(Some(first), Some(last)),
                None => PersonName::new(Some(text), None),
            };
            let agree = names::agree(name(ours), name(theirs)) == Agreement::Yes;
            assert_eq!(agree, verdict.starts_with("join"), "{row}");
            told += 1;
        }
        assert_eq!(told, 7);
    }
}
