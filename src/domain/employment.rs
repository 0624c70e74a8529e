//! What must be written so that a contact is employed where its CRM says: the missing employment, its title, and which one
//! is the primary. Pure. Other employments are never ended.

use crate::domain::ownership::Owner;

/// An employment as its contact shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Employed {
    /// Propstreet's id of the company.
    pub company: String,
    /// The title there.
    pub job_title: Option<String>,
    /// Whether it is the contact's primary company.
    pub primary: bool,
}

/// What a CRM wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Propstreet's id of the company.
    pub company: String,
    /// The title there; none is left alone.
    pub job_title: Option<String>,
    /// Whether contacts follow their records; else an employment that is there is not touched.
    pub follows: bool,
    /// Whose the employer is.
    pub employer: Owner,
    /// Whose the title is.
    pub title: Owner,
}

/// The next thing to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// All is as it shall be.
    Done,
    /// The employment is missing.
    Employ,
    /// The employment is there, and not as it shall be: a new title, and whether it is to become the primary one.
    Amend {
        /// The title, where it is to be another.
        job_title: Option<String>,
        /// It shall be the primary one.
        primary: bool,
    },
}

/// Compares what a contact shows with what its CRM wants. `ours`: the employment was missing when it was first looked at,
/// so that its title and its place are ours to give.
#[must_use]
pub fn next(shown: &[Employed], wanted: &Wanted, ours: bool) -> Next {
    let Some(here) = shown.iter().find(|employed| employed.company == wanted.company) else {
        // Where Propstreet has the say, a person who is employed somewhere stays so.
        let settled = wanted.employer == Owner::Propstreet && !shown.is_empty();
        return if settled { Next::Done } else { Next::Employ };
    };
    let elsewhere = shown.iter().any(|employed| employed.primary && employed.company != wanted.company);
    let leads = wanted.follows && wanted.employer != Owner::Propstreet;
    // Exactly one is the primary one: without any, it is the one that a CRM names.
    let primary = !here.primary && (leads || (!elsewhere && (ours || wanted.employer != Owner::Propstreet)));
    let may_title = ours || (wanted.follows && (wanted.title != Owner::Propstreet || here.job_title.is_none()));
    let job_title = wanted.job_title.clone().filter(|title| may_title && here.job_title.as_ref() != Some(title));
    if primary || job_title.is_some() { Next::Amend { job_title, primary } } else { Next::Done }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `7!CEO` is the primary employment at company 7 as CEO; `8` another without a title.
    fn shown(text: &str) -> Vec<Employed> {
        let one = |word: &str| {
            let end = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
            let title = word[end..].trim_start_matches('!');
            let job_title = Some(title.to_owned()).filter(|title| !title.is_empty());
            Employed { company: word[..end].to_owned(), job_title, primary: word.contains('!') }
        };
        text.split_whitespace().map(one).collect()
    }

    /// Shown, whether contacts follow, the owners of employer and title, whether the employment is ours; then what is next.
    const CASES: &str = "\
             | update | crm crm | -    | employ
        8!VD | update | crm crm | -    | employ
        8!VD | ignore | crm crm | -    | employ
        8!VD | update | ps crm  | -    | done
             | update | ps crm  | -    | employ
        7!CEO      | update | crm crm | - | done
        7!CEO      | ignore | crm crm | - | done
        7!VD       | update | crm crm | - | title
        7!VD       | ignore | crm crm | - | done
        7!VD       | update | crm ps  | - | done
        7!         | update | crm ps  | - | title
        7!         | ignore | crm crm | ours | title
        7CEO       | update | crm crm | - | primary
        7CEO       | ignore | crm crm | - | primary
        7CEO       | ignore | ps crm  | - | done
        7CEO       | ignore | crm crm | ours | primary
        7CEO 8!    | update | crm crm | - | primary
        7CEO 8!    | ignore | crm crm | -    | done
        7CEO 8!    | ignore | crm crm | ours | done
        7CEO 8!    | update | ps crm  | ours | done
        7 8!       | update | crm crm | ours | title primary";

    #[test]
    fn every_row_of_the_table() {
        for row in CASES.lines() {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [held, follows, owners, ours, expected] = cells[..] else { panic!("{row}") };
            let (employer, title) = owners.split_once(' ').expect("two owners");
            let owner = |word: &str| if word.trim() == "ps" { Owner::Propstreet } else { Owner::Crm };
            let wanted = Wanted {
                company: "7".to_owned(),
                job_title: Some("CEO".to_owned()),
                follows: follows == "update",
                employer: owner(employer),
                title: owner(title),
            };
            let told = match next(&shown(held), &wanted, ours == "ours") {
                Next::Done => "done".to_owned(),
                Next::Employ => "employ".to_owned(),
                Next::Amend { job_title, primary } => {
                    let words = [job_title.map(|_| "title"), primary.then_some("primary")];
                    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
                }
            };
            assert_eq!(told, expected, "{row}");
            let untitled = Wanted { job_title: None, ..wanted };
            let untitled = next(&shown(held), &untitled, ours == "ours");
            assert!(!matches!(untitled, Next::Amend { job_title: Some(_), .. }), "{row}: a title is never cleared");
        }
    }
}
